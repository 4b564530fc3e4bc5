"""Linear maps in the two shapes where PyTorch's own are slow: constant features, and very many short rows."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

_FEATURES_AT_ONCE = 1 << 21
"""Entries of the features gathered at once, 8 MB in float32. Gathering all rows into fresh memory would cost more than
the product. With features thousands of columns wide, summing the gradient over such blocks takes four fifths of the
time of a single product."""
_BLOCKS = 16
"""Blocks of rows over which the gradient of `linear` is summed. The sum does not depend on the number of threads."""
_ROWS_PER_BLOCK = 64
"""With fewer rows per block, a single product is used instead."""


def project_features(features: Tensor, weight: Tensor, rows: Tensor | None = None) -> Tensor:
    """X Wᵀ for constant features X. Rows are gathered in blocks, so the features are never copied as a whole.

    The product is computed in the precision of the features and returned in that of the weights. With features in
    bfloat16, W and the gradient of the result are rounded to 8 bits of mantissa; sums are in float32.

    Args:
        features: X `[I, F]`, a constant; only W has a gradient.
        weight: W `[d, F]`.
        rows: items to project, int64 `[n]`; None projects all. Distinct rows in ascending order are fastest.

    Returns:
        `[I, d]` or `[n, d]`.
    """
    return _ProjectFeatures.apply(features, weight, rows)


class _ProjectFeatures(torch.autograd.Function):
    """With G the gradient of the result, ∂L/∂W = Gᵀ X."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, rows: Tensor | None) -> Tensor:
        if rows is not None and len(rows) * features.shape[1] <= _FEATURES_AT_ONCE:
            features = features.index_select(0, rows)  # [n, F], small enough to keep for the gradient
            rows = None
        ctx.save_for_backward(features, rows)
        columns = weight.to(features.dtype).T.contiguous()  # [F, d]
        if rows is None:
            return (features @ columns).to(weight)
        projected = weight.new_empty(len(rows), len(weight))  # [n, d]
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
    """The given rows, or all, in blocks: the slice of each block, and its features.

    Gathered rows share one buffer, which the next block overwrites. On a GPU and in bfloat16 there is one block,
    because a single product is as fast there.
    """
    count = len(features) if rows is None else len(rows)
    in_blocks = features.is_cpu and features.dtype != torch.bfloat16
    size = max(1, _FEATURES_AT_ONCE // max(1, features.shape[1])) if in_blocks else max(1, count)
    buffer = features.new_empty(0 if rows is None else min(size, count), features.shape[1])
    for start in range(0, count, size):
        part = slice(start, min(start + size, count))
        if rows is None:
            yield part, features[part]
        else:
            yield part, torch.index_select(features, 0, rows[part], out=buffer[: part.stop - start])


def linear(rows: Tensor, weight: Tensor, added: Tensor | None = None) -> Tensor:
    """X Wᵀ + b for very many short rows X, with a gradient that all threads compute.

    The gradient of the weights, Gᵀ X, is a small matrix. A library that divides the result among threads leaves most
    threads idle: for 9,308 rows of 64 numbers, two threads are no faster than one. Here threads divide the rows, which
    takes three fifths of that time.

    Args:
        rows: X `[n, w]`.
        weight: W `[d, w]`.
        added: b, a bias `[d]` or one row for each row of X `[n, d]`; None adds nothing.

    Returns:
        `[n, d]`.
    """
    return _Linear.apply(rows, weight, added)


class _Linear(torch.autograd.Function):
    """With G the gradient of the result, ∂L/∂X = G W and ∂L/∂W = Gᵀ X."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, added: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        ctx.added_is_bias = added is not None and added.ndim == 1
        return rows @ weight.T if added is None else torch.addmm(added, rows, weight.T)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        needs_rows, needs_weight, needs_added = ctx.needs_input_grad
        grad_added = grad.sum(0) if ctx.added_is_bias else grad
        return (
            grad @ weight if needs_rows else None,
            _transposed_product(grad, rows) if needs_weight else None,
            grad_added if needs_added else None,
        )


def _transposed_product(left: Tensor, right: Tensor) -> Tensor:
    """Aᵀ B `[a, b]` for A `[n, a]` and B `[n, b]`, with n much larger than a and b."""
    size = len(left) // _BLOCKS
    if not left.is_cpu or size < _ROWS_PER_BLOCK:
        return left.T @ right
    covered = _BLOCKS * size
    left_blocks = left[:covered].unflatten(0, (_BLOCKS, size))  # [16, size, a]
    right_blocks = right[:covered].unflatten(0, (_BLOCKS, size))  # [16, size, b]
    total = torch.bmm(left_blocks.transpose(1, 2), right_blocks).sum(0)  # [a, b]
    return total.addmm_(left[covered:].T, right[covered:])
