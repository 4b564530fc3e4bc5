"""InfoNCE in blocks: the contrast of a few anchors with very many candidates, in memory of one block.

For anchors a_b, candidates c_k, positive index p(b) and temperature τ, with s_bk = <a_b, c_k> / τ,
ℓ_b = ln Σ_k exp(s_bk) - s_b,p(b), the positive being one of the candidates. The gradients are formed while the
block of similarities is at hand, so nothing of size anchors x candidates is kept or computed twice:
∂ℓ_b/∂a_b = (Σ_k P_bk c_k - c_p(b)) / τ and ∂ℓ/∂c_k = Σ_b (P_bk - [k = p(b)]) a_b / τ, with P the softmax of s.

Where even that is too much, Σ_k exp(s_bk) may be estimated from a sample S of the candidates: the positive as it is,
and the others in S times the number of others there are for each of them. The estimate of the sum has no bias; that of
its logarithm has a small one, of the order of 1 / |S|.
"""

from typing import Any

import torch
from torch import Tensor

from prismrec.blocks import block_entries

_BLOCK_ENTRIES = 1 << 19
"""Similarities held at once on a CPU, 2 MB in float32: narrow products wait for memory and want a core's own cache."""
_WIDE = 16
"""From this d on products wait for arithmetic, and larger blocks are faster."""
_WIDE_BLOCK = 2
"""How many times as large."""
_LEAST_ROWS = 16
"""Anchors of a block however many candidates there are: all of these are read once per block."""
_LARGEST_EXPONENT = 40.0
"""Up to here neither exp(s) nor a sum of very many of them leaves float32, and no maximum need be subtracted."""


def info_nce(
    anchors: Tensor,
    candidates: Tensor,
    positives: Tensor,
    temperature: float,
    weights: Tensor | None = None,
    *,
    cosines: bool = False,
    excluded: Tensor | None = None,
    sample: Tensor | None = None,
) -> Tensor:
    """Σ_b w_b ℓ_b, a scalar. Normalise rows beforehand where the paper uses cosines.

    Args:
        anchors: `[A, d]`.
        candidates: `[C, d]`.
        positives: int64 `[A]`, the candidate that belongs to each anchor.
        temperature: τ.
        weights: constant `[A]`, all ones where absent; repeated anchors can be merged into one with their count,
            and a mean is weights of 1/A.
        cosines: a promise that all inner products lie within ±1, which saves looking at the lengths of all rows.
        excluded: int64 `[A]`, for each anchor one candidate that is none of its own; not its positive.
        sample: distinct candidates int64 `[S]`, at least two, ascending and drawn uniformly, from which the sum over
            all candidates is estimated; not together with `excluded`.

    Raises:
        ValueError: `sample` and `excluded` are both given.
    """
    if sample is not None and excluded is not None:
        raise ValueError("a sample of candidates goes without excluded ones")
    if weights is None:
        weights = anchors.new_ones(len(anchors))
    shifted = needs_shift(anchors, candidates, temperature, cosines=cosines)
    return _InfoNCE.apply(anchors, candidates, positives, temperature, weights, shifted, excluded, sample)


def needs_shift(anchors: Tensor, candidates: Tensor, temperature: float, *, cosines: bool) -> bool:
    """Whether exp(<a, c> / τ) might leave float32, the inner products bounded by 1 or by Cauchy and Schwarz.

    Where the host would have to wait for a GPU to tell, it might.
    """
    largest = 1.0
    if not cosines and not anchors.is_cpu:
        return True
    if not cosines and len(anchors) and len(candidates):
        lengths = [torch.linalg.vector_norm(rows.detach(), dim=1).max() for rows in (anchors, candidates)]
        largest = float(lengths[0] * lengths[1])
    return largest / temperature > _LARGEST_EXPONENT


def block_rows(anchors: Tensor, candidates: int) -> int:
    """How many of the anchors `[A, d]` to compare with all candidates at once."""
    count, width = anchors.shape
    entries = block_entries(anchors, _BLOCK_ENTRIES * (_WIDE_BLOCK if width >= _WIDE else 1))
    return max(1, min(count, max(_LEAST_ROWS, entries // max(1, candidates))))


def exponentiate(similarities: Tensor, shifted: bool, least: Tensor | None = None) -> Tensor:
    """exp(s - shift) in place, and the shift: 0, or the largest of a row, where given not below `least`."""
    if not shifted:
        similarities.exp_()
        return similarities.new_zeros(())
    shift = similarities.amax(1)
    if least is not None:
        shift = shift.maximum(least)
    similarities.sub_(shift[:, None]).exp_()
    return shift


class _InfoNCE(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        anchors: Tensor,
        candidates: Tensor,
        positives: Tensor,
        temperature: float,
        weights: Tensor,
        shifted: bool,
        excluded: Tensor | None,
        sample: Tensor | None,
    ) -> Tensor:
        with_gradient = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        scaled, (count, d) = anchors / temperature, anchors.shape
        chosen = candidates.index_select(0, positives)
        logits = (scaled * chosen).sum(1)  # s_b,p(b)
        pool, own = candidates, torch.zeros_like(logits)  # own: the positive's share P_b,p(b) where it is no column
        stands_for: Tensor | None = None
        if sample is not None:
            pool, excluded, stands_for = _drawn(candidates, positives, sample)
        wide, columns = d >= _WIDE, pool.T.contiguous()  # [d, C]
        with_ones = None if wide else torch.cat([columns, pool.new_ones(1, len(pool))])
        totals = anchors.new_empty(count)  # ln Σ_k exp(s_bk)
        grad_anchors, grad_columns = torch.empty_like(anchors), torch.zeros_like(columns)  # [A, d], [d, C]
        block = block_rows(anchors, len(pool))
        # One buffer for all blocks stays within a core's cache, which fresh memory for each would not be in.
        buffer = anchors.new_empty(block, len(pool))
        for rows in (slice(start, start + block) for start in range(0, count, block)):
            exponentials = torch.mm(scaled[rows], columns, out=buffer[: count - rows.start])  # [b, C]
            _mark(exponentials, None if excluded is None else excluded[rows])
            if stands_for is not None:
                exponentials.add_(stands_for[rows, None])
            shift = exponentiate(exponentials, shifted, logits[rows])  # the positive need not be a column
            sums, partition = _sums(exponentials, pool, with_ones)  # [b, d], [b]
            if sample is not None:
                exponential = (logits[rows] - shift).exp()  # [b]
                sums, partition = sums + exponential[:, None] * chosen[rows], partition + exponential
                own[rows] = exponential / partition
            totals[rows] = partition.log() + shift
            if with_gradient:
                share = (weights[rows] / (temperature * partition))[:, None]  # [b, 1]
                torch.mul(sums, share, out=grad_anchors[rows])
                grad_columns.addmm_((anchors[rows] * share).T, exponentials)
        if with_gradient:
            factor = (weights / temperature)[:, None]
            grad_anchors -= factor * chosen
            grad_candidates = _rows_of(grad_columns, sample, candidates)
            grad_candidates.index_add_(0, positives, factor * (1 - own)[:, None] * anchors, alpha=-1)
            ctx.save_for_backward(grad_anchors, grad_candidates)
        return (weights * (totals - logits)).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_anchors, grad_candidates = ctx.saved_tensors
        return grad * grad_anchors, grad * grad_candidates, None, None, None, None, None, None


def _drawn(candidates: Tensor, positives: Tensor, sample: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The candidates drawn `[S, d]`, the column of each positive among them or -1 `[A]`, and weights `[A]`.

    A weight is ln of how many of the others each of those drawn stands for.
    """
    places = _places(positives, sample)
    stands_for = (len(candidates) - 1) / (len(sample) - (places >= 0).to(candidates))
    return candidates.index_select(0, sample), places, stands_for.log()


def _rows_of(columns: Tensor, sample: Tensor | None, candidates: Tensor) -> Tensor:
    """Columns `[d, C]`, or `[d, S]` of the candidates drawn, as rows of all candidates `[C, d]`."""
    rows = columns.T.contiguous()
    return rows if sample is None else torch.zeros_like(candidates).index_copy_(0, sample, rows)


def _sums(exponentials: Tensor, pool: Tensor, with_ones: Tensor | None) -> tuple[Tensor, Tensor]:
    """Σ_k e_k c_k `[b, d]` and Σ_k e_k `[b]`; with a row of ones below the columns one product gives both."""
    if with_ones is None:
        return exponentials @ pool, exponentials.sum(1)
    both = with_ones @ exponentials.T  # [d + 1, b]
    return both[:-1].T, both[-1]


def _mark(similarities: Tensor, excluded: Tensor | None) -> None:
    """-inf where a row has an excluded column; -1 is none."""
    if excluded is not None:
        at, there = excluded.clamp(min=0)[:, None], (excluded >= 0)[:, None]
        similarities.scatter_(1, at, torch.where(there, -torch.inf, similarities.gather(1, at)))


def _places(numbers: Tensor, ascending: Tensor) -> Tensor:
    """Where each number stands in a sorted vector; -1 where it does not."""
    places = torch.searchsorted(ascending, numbers).clamp(max=len(ascending) - 1)
    return torch.where(ascending[places] == numbers, places, -1)
