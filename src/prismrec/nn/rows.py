"""Rows of a matrix, as a batch reads them."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.types import Triplets

Rows = tuple[Tensor, Tensor]
"""Row numbers of users and of items, int64."""

_SORTING_PAYS = 32
"""Where all rows are so many times those listed, sorting these is less work than a pass over all."""


def take_rows(matrix: Tensor, rows: Tensor | slice) -> Tensor:
    """`matrix[rows]`, with a gradient that is faster to write.

    Given 2,048 to 4,096 rows of 64 or 128 numbers, a CPU adds them up in half to three quarters of the time of
    PyTorch's gradient of an embedding, and with two threads in less than half of that of an indexed matrix. A GPU,
    which sorts the rows for an indexed matrix, adds them up at once, in an order that is not fixed.

    Args:
        matrix: `[n, …]`.
        rows: int64 `[r]`, repeated ones too, or a slice.

    Returns:
        `[r, …]`.
    """
    return matrix.index_select(0, rows) if isinstance(rows, Tensor) else matrix[rows]


def table_rows(table: Tensor, rows: Tensor) -> Tensor:
    """`take_rows` of a weight that nothing else reads in the same step: on a CPU its gradient is sparse.

    Args:
        table: `[n, d]`.
        rows: int64 `[r]`.

    Returns:
        `[r, d]`.
    """
    return F.embedding(rows, table, sparse=table.is_cpu)


def occurrences(numbers: Tensor, count: int) -> Tensor:
    """How often each of 0..count-1 occurs, int64 `[count]`; bincount, for which the host does not wait for a GPU."""
    return numbers.new_zeros(count).index_add_(0, numbers, torch.ones_like(numbers))


class Merged(NamedTuple):
    """Rows that a batch lists, some of them several times.

    Attributes:
        rows: those to read, int64 `[n]`.
        places: for each row listed, where it is among these, int64 `[r]`.
    """

    rows: Tensor
    places: Tensor

    @property
    def counts(self) -> Tensor:
        """How often each of `rows` is listed, int64 `[n]`."""
        return occurrences(self.places, len(self.rows))


def merge(rows: Tensor, count: int) -> Merged:
    """The distinct rows, ascending, so that each is read and computed once.

    On a GPU all rows stay as they are listed: to count the distinct ones the host would have to wait at every step, and
    computing some of them again takes no longer.

    Args:
        rows: int64 `[r]`.
        count: of all rows there are.
    """
    if not rows.is_cpu:
        return Merged(rows, torch.arange(len(rows), device=rows.device))
    if count > _SORTING_PAYS * len(rows):
        return Merged(*rows.unique(return_inverse=True))
    place_of = rows.new_zeros(count).index_fill_(0, rows, 1)
    found = place_of.nonzero().squeeze(1)
    place_of.index_copy_(0, found, torch.arange(len(found)))
    return Merged(found, place_of.index_select(0, rows))


def merge_sides(batch: Triplets, num_users: int, num_items: int) -> tuple[Rows, Rows]:
    """The users and the items of a batch merged: the rows to read, and where each of the batch's is among them.

    Args:
        batch: of B triplets.
        num_users: U.
        num_items: I.

    Returns:
        Rows of users and of items; places of users `[B]` and of items `[2 B]`, positives before negatives.
    """
    users, items = merge(batch.users, num_users), merge(batch.items, num_items)
    return (users.rows, items.rows), (users.places, items.places)


def triplet_rows(users: Tensor, items: Tensor, batch: Triplets) -> tuple[Tensor, Tensor, Tensor]:
    """The rows of a batch's users, positives and negatives, each `[B, d]`, of matrices `[U, d]` and `[I, d]`."""
    # Positives and negatives are read at once: every reading costs a whole matrix of gradients.
    positives, negatives = take_rows(items, batch.items).split(len(batch))
    return take_rows(users, batch.users), positives, negatives
