"""Some rows of a wide constant matrix through a linear map, without ever holding a copy of those rows."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

_BLOCK_ENTRIES = 1 << 21
"""Entries gathered at once, 8 MB in float32: fresh memory for all of them would cost more than the products."""


def projected_rows(table: Tensor, rows: Tensor, weight: Tensor) -> Tensor:
    """table[rows] weightᵀ, differentiable in the weight alone.

    Args:
        table: constant `[n, f]`.
        rows: int64 `[m]`; distinct ones are the least work, ascending ones the fastest to read.
        weight: `[d, f]`.

    Returns:
        `[m, d]`.
    """
    return _ProjectedRows.apply(table, rows, weight)


class _ProjectedRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(table, rows)
        columns, projected = weight.T.contiguous(), weight.new_empty(len(rows), len(weight))
        for part, gathered in _blocks(table, rows):
            torch.mm(gathered, columns, out=projected[part])
        return projected

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        table, rows = ctx.saved_tensors
        grad_weight = grad.new_zeros(grad.shape[1], table.shape[1])
        for part, gathered in _blocks(table, rows):
            grad_weight.addmm_(grad[part].T, gathered)
        return None, None, grad_weight


def _blocks(table: Tensor, rows: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The rows block by block, in memory that the next block overwrites; on a GPU all at once."""
    size = max(1, _BLOCK_ENTRIES // table.shape[1]) if table.is_cpu else max(1, len(rows))
    memory = table.new_empty(min(size, len(rows)), table.shape[1])
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        yield slice(start, start + size), torch.index_select(table, 0, part, out=memory[: len(part)])
