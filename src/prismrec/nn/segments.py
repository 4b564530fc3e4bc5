"""Attention over the edges of a sparse pattern: softmax and sums per segment, without padding.

A segment is the edges of one node, such as a user's history. Edges need no order: each carries the number of its
segment, so the same edges can be grouped by their users and by their items.
"""

from typing import Any

import torch
from torch import Tensor


def segment_sum(values: Tensor, segments: Tensor, count: int) -> Tensor:
    """Σ of the values of each segment: `[n, ...]`, segment numbers int64 `[n]` to `[count, ...]`; 0 where empty."""
    return values.new_zeros(count, *values.shape[1:]).index_add(0, segments, values)


def segment_softmax(values: Tensor, segments: Tensor, count: int, *, bound: float | None = None) -> Tensor:
    """The softmax of values `[n]` within each of `count` segments.

    Args:
        values: one score per edge.
        segments: the segment of each edge, int64 `[n]`.
        count: number of segments; some may be empty.
        bound: where given, no score exceeds it in size, as with cosines; then no maxima need to be found.
    """
    return _SegmentSoftmax.apply(values, segments, count, bound)


class _SegmentSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, segments: Tensor, count: int, bound: float | None) -> Tensor:
        if bound is None:
            largest = values.new_zeros(count).scatter_reduce_(0, segments, values, "amax", include_self=False)
            exponentials = (values - largest.index_select(0, segments)).exp_()
        else:
            exponentials = (values - bound).exp_()
        totals = segment_sum(exponentials, segments, count)
        shares = exponentials.div_(totals.index_select(0, segments))
        ctx.save_for_backward(shares, segments)
        ctx.count = count
        return shares

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        shares, segments = ctx.saved_tensors
        weighted = grad * shares
        means = segment_sum(weighted, segments, ctx.count)
        return weighted - shares * means.index_select(0, segments), None, None, None


def edges_of_rows(offsets: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The edges of some rows of a row-wise edge list.

    Args:
        offsets: row r has the edges `offsets[r]:offsets[r + 1]`; int64 `[R + 1]`.
        rows: row numbers, int64 `[n]`.

    Returns:
        The edges, row after row, and for each the place in `rows` that it belongs to; both int64.
    """
    starts = offsets[rows]
    degrees = offsets[rows + 1] - starts
    places = torch.repeat_interleave(degrees)
    shift = starts - (degrees.cumsum(0) - degrees)  # from the position in the answer to the edge
    return torch.arange(len(places), device=rows.device) + shift.index_select(0, places), places
