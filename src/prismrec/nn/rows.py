"""Rows of a matrix, as a batch reads them."""

import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec import kernels
from prismrec.types import Triplets

_SORTING_PAYS = 32
"""Where all rows are so many times those listed, sorting these is less work than a pass over all."""


def take_rows(matrix: Tensor, rows: Tensor | slice) -> Tensor:
    """`matrix[rows]`, its gradient written by the kernel that is fastest where the matrix is.

    Given 2,048 to 4,096 rows of 64 or 128 numbers, a CPU adds them up in half to three quarters of the time of
    PyTorch's gradient of an embedding, and with two threads in less than half of that of an indexed matrix. On a GPU
    the same kernel would add in an order that is not fixed.

    Args:
        matrix: `[n, …]`.
        rows: int64 `[r]`, repeated ones too, or a slice.

    Returns:
        `[r, …]`.
    """
    if isinstance(rows, Tensor) and matrix.is_cpu:
        return matrix.index_select(0, rows)
    return matrix[rows]


def table_rows(table: Tensor, rows: Tensor) -> Tensor:
    """`take_rows` of a weight that nothing else reads in the same step: its gradient may then be a sparse one.

    Args:
        table: `[n, d]`.
        rows: int64 `[r]`.

    Returns:
        `[r, d]`.
    """
    return F.embedding(rows, table, sparse=True) if kernels.usable(table) else take_rows(table, rows)


def distinct(rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """`rows.unique(return_inverse=True)` of row numbers below `count`, unsorted where that is less work.

    Args:
        rows: int64 `[r]`.
        count: of all rows.

    Returns:
        The n distinct rows, ascending, `[n]`, and the place of each of `rows` among them, `[r]`.
    """
    if count > _SORTING_PAYS * len(rows):
        return rows.unique(return_inverse=True)
    place_of = rows.new_zeros(count).index_fill_(0, rows, 1)
    found = place_of.nonzero().squeeze(1)
    place_of.index_copy_(0, found, torch.arange(len(found), device=rows.device))
    return found, place_of.index_select(0, rows)


def triplet_rows(users: Tensor, items: Tensor, batch: Triplets) -> tuple[Tensor, Tensor, Tensor]:
    """The rows of a batch's users, positives and negatives, each `[B, d]`, of matrices `[U, d]` and `[I, d]`."""
    # Positives and negatives are read at once: every reading costs a whole matrix of gradients.
    positives, negatives = take_rows(items, batch.items).split(len(batch))
    return take_rows(users, batch.users), positives, negatives
