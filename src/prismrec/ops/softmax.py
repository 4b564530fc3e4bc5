"""Softmax over very few entries, and over the edges of each node of a graph."""

from typing import Any

import torch
from torch import Tensor


def narrow_softmax(logits: Tensor, least: float = -torch.inf) -> Tensor:
    """Softmax along the last axis of `[n, k]` with small k; PyTorch's own takes five times as long on a CPU.

    Args:
        logits: `[n, k]`.
        least: lower bound of each logit minus the largest logit of its row. A bound avoids denormal results, which are
            slow on a CPU. It is not applied on a GPU.
    """
    if not logits.is_cpu:
        return logits.softmax(1)
    powers = (logits - logits.detach().amax(1, keepdim=True)).clamp(min=least).exp()
    return powers / powers.sum(1, keepdim=True)


def segment_sum(values: Tensor, segments: Tensor, count: int) -> Tensor:
    """The sum of the values of each segment; an empty segment has 0.

    A segment is the set of edges of one node, such as the history of a user. Edges need no order.

    Args:
        values: one row per edge, `[n, …]`.
        segments: the segment of each edge, int64 `[n]`.
        count: number of segments.

    Returns:
        `[count, …]`.
    """
    return values.new_zeros(count, *values.shape[1:]).index_add(0, segments, values)


def segment_softmax(values: Tensor, segments: Tensor, count: int, *, bound: float | None = None) -> Tensor:
    """The softmax of `values` within each segment.

    Args:
        values: one score per edge, `[n]`.
        segments: the segment of each edge, int64 `[n]`.
        count: number of segments; some may be empty.
        bound: an upper bound of the absolute scores, such as 1 for cosines. With a bound, no maximum is computed.

    Returns:
        `[n]`.
    """
    return _SegmentSoftmax.apply(values, segments, count, bound)


class _SegmentSoftmax(torch.autograd.Function):
    """With y the result and g = ∂L/∂y, ∂L/∂x_e = y_e (g_e - Σ_f g_f y_f), the sum over the segment of e."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, segments: Tensor, count: int, bound: float | None) -> Tensor:
        if bound is None:
            largest = values.new_zeros(count).scatter_reduce_(0, segments, values, "amax", include_self=False)
            exponentials = (values - largest.index_select(0, segments)).exp_()
        else:
            exponentials = (values - bound).exp_()
        totals = segment_sum(exponentials, segments, count)  # [count]
        weights = exponentials.div_(totals.index_select(0, segments))
        ctx.save_for_backward(weights, segments)
        ctx.count = count
        return weights

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weights, segments = ctx.saved_tensors
        weighted = grad * weights
        means = segment_sum(weighted, segments, ctx.count)  # [count]
        return weighted - weights * means.index_select(0, segments), None, None, None


def edges_of_rows(offsets: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The edges of some rows of a row-wise edge list.

    Args:
        offsets: row r has the edges `offsets[r]:offsets[r + 1]`; int64 `[R + 1]`.
        rows: row numbers, int64 `[n]`.

    Returns:
        The edges, row by row, and for each edge the position in `rows` of its row; both int64.
    """
    starts = offsets[rows]
    degrees = offsets[rows + 1] - starts
    positions = torch.repeat_interleave(degrees)
    shift = starts - (degrees.cumsum(0) - degrees)  # from the position in the result to the edge
    return torch.arange(len(positions), device=rows.device) + shift.index_select(0, positions), positions
