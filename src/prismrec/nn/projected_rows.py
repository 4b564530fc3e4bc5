"""Some rows of a wide constant matrix through a linear map, without ever holding a copy of those rows."""

from typing import Any

import torch
from torch import Tensor

_BLOCK_ENTRIES = 1 << 19
"""Entries gathered at once, 2 MB in float32: they are multiplied while a core's own cache still has them."""


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
        columns = weight.T.contiguous()
        return torch.cat([table.index_select(0, part) @ columns for part in _blocks(table, rows)])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        table, rows = ctx.saved_tensors
        grad_weight = grad.new_zeros(grad.shape[1], table.shape[1])
        blocks = _blocks(table, rows)
        for part, grads in zip(blocks, grad.split(len(blocks[0])), strict=True):
            grad_weight.addmm_(grads.T, table.index_select(0, part))
        return None, None, grad_weight


def _blocks(table: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
    """The rows in blocks; on a GPU, which has no such cache, all at once."""
    return rows.split(max(1, _BLOCK_ENTRIES // table.shape[1]) if table.is_cpu else max(1, len(rows)))
