"""Linear maps of very many short rows, in whose gradient all threads take part.

The gradient of the weights, Gᵀ X with X `[n, w]` and G `[n, d]`, is a small matrix. A library that gives each thread a
part of the result leaves some of them idle: for 9,308 rows of 64 numbers two threads are no faster than one. In blocks
of rows, added up at the end, they take three fifths of that time.
"""

from typing import Any

import torch
from torch import Tensor, nn

_BLOCKS_PER_THREAD = 8
_LEAST_ROWS = 64
"""Of a block."""


def tall_linear(rows: Tensor, weight: Tensor, added: Tensor | None = None) -> Tensor:
    """X Wᵀ + b.

    Args:
        rows: X `[n, w]`.
        weight: W `[d, w]`.
        added: b `[d]`, or a row for each `[n, d]`, or nothing.

    Returns:
        `[n, d]`.
    """
    return _TallLinear.apply(rows, weight, added)


class TallLinear(nn.Linear):
    """PyTorch's linear layer, of rows `[n, w]` and with a bias."""

    def forward(self, rows: Tensor) -> Tensor:
        """`[n, d]`."""
        return tall_linear(rows, self.weight, self.bias)


class _TallLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, added: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        ctx.to_each = added is not None and added.ndim == 1
        return rows @ weight.T if added is None else torch.addmm(added, rows, weight.T)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        of_rows, of_weight, of_added = ctx.needs_input_grad
        of_all = grad.sum(0) if ctx.to_each else grad
        return (
            grad @ weight if of_rows else None,
            _small_product(grad, rows) if of_weight else None,
            of_all if of_added else None,
        )


def _small_product(left: Tensor, right: Tensor) -> Tensor:
    """Aᵀ B `[a, b]` of A `[n, a]` and B `[n, b]`."""
    blocks = _BLOCKS_PER_THREAD * torch.get_num_threads()
    size = len(left) // blocks
    if not left.is_cpu or torch.get_num_threads() == 1 or size < _LEAST_ROWS:
        return left.T @ right
    whole = blocks * size
    first, second = (x[:whole].unflatten(0, (blocks, size)) for x in (left, right))
    return torch.bmm(first.transpose(1, 2), second).sum(0).addmm_(left[whole:].T, right[whole:])
