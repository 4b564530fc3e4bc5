"""Constant features through a linear map: all items, or some without ever holding a copy of their rows."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

_BLOCK_ENTRIES = 1 << 21
"""Features read at once, 8 MB in float32: fresh memory for all gathered rows would cost more than their products. With
features thousands wide a gradient summed up over such blocks takes four fifths of the time of one product."""


def project(features: Tensor, weight: Tensor, rows: Tensor | None = None) -> Tensor:
    """X Wᵀ of constant features, computed in their precision and returned in that of the weights.

    With features in bfloat16, W and the gradient of the result are rounded to 8 bits of mantissa, products are summed
    up in float32.

    Args:
        features: X `[I, F]`, a constant; only W has a gradient.
        weight: W `[d, F]`.
        rows: of the items to project, int64 `[n]`; distinct ones are the least work, ascending ones the fastest to
            read. None: all items.

    Returns:
        `[I, d]` or `[n, d]`.
    """
    return _Projection.apply(features, weight, rows)


class FeatureLinear(nn.Linear):
    """X Wᵀ + b of constant features X `[I, F]`, with the weights of any linear layer."""

    def forward(self, features: Tensor) -> Tensor:
        """`[I, d]`."""
        return project(features, self.weight) + self.bias


class _Projection(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, rows: Tensor | None) -> Tensor:
        if rows is not None and len(rows) * features.shape[1] <= _BLOCK_ENTRIES:
            features, rows = features.index_select(0, rows), None  # few enough to be kept for the gradient
        ctx.save_for_backward(features, rows)
        columns = weight.to(features.dtype).T.contiguous()  # [F, d]
        if rows is None:
            return (features @ columns).to(weight)
        projected = weight.new_empty(len(rows), len(weight))
        for part, block in _blocks(features, rows):
            projected[part] = block @ columns
        return projected

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        features, rows = ctx.saved_tensors
        grad_weight = grad.new_zeros(grad.shape[1], features.shape[1])  # [d, F]
        for part, block in _blocks(features, rows):
            if features.dtype == grad.dtype:
                grad_weight.addmm_(grad[part].T, block)
            else:
                grad_weight += grad[part].T.contiguous().to(features.dtype) @ block
        return None, grad_weight, None


def _blocks(features: Tensor, rows: Tensor | None) -> Iterator[tuple[slice, Tensor]]:
    """The rows block by block, gathered ones in memory that the next block overwrites.

    On a GPU and in bfloat16, whose products take no longer than adding them up, all rows are one block.
    """
    count = len(features) if rows is None else len(rows)
    in_blocks = features.is_cpu and features.dtype != torch.bfloat16
    size = max(1, _BLOCK_ENTRIES // max(1, features.shape[1])) if in_blocks else max(1, count)
    memory = features.new_empty(0 if rows is None else min(size, count), features.shape[1])
    for start in range(0, count, size):
        part = slice(start, min(start + size, count))
        if rows is None:
            yield part, features[part]
        else:
            yield part, torch.index_select(features, 0, rows[part], out=memory[: part.stop - start])
