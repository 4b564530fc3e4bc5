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
import torch.nn.functional as F
from torch import Tensor

_BLOCK_ENTRIES = 1 << 19
"""Similarities held at once, 2 MB in float32: narrow products wait for memory and want a core's own cache."""
_WIDE = 16
"""From this d on products wait for arithmetic, and blocks four times as large are faster."""
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
        cosines: a promise that all inner products lie within ±1, which saves a pass.
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
    needs_shift = not cosines or 1 / temperature > _LARGEST_EXPONENT
    return _InfoNCE.apply(anchors, candidates, positives, temperature, weights, needs_shift, excluded, sample)


class _InfoNCE(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        anchors: Tensor,
        candidates: Tensor,
        positives: Tensor,
        temperature: float,
        weights: Tensor,
        needs_shift: bool,
        excluded: Tensor | None,
        sample: Tensor | None,
    ) -> Tensor:
        with_gradient = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        scaled, d = anchors / temperature, anchors.shape[1]
        chosen = candidates.index_select(0, positives)
        logits = (scaled * chosen).sum(1)  # s_b,p(b)
        pool, own = candidates, torch.zeros_like(logits)  # own: the positive's share P_b,p(b) where it is no column
        if sample is not None:
            pool = candidates.index_select(0, sample)  # [S, d]
            excluded = _places(positives, sample)
            # ln of how many of the others each of those in the sample stands for.
            stands_for = ((len(candidates) - 1) / (len(sample) - (excluded >= 0).to(logits))).log()
        # Candidates as columns, and a row of ones below them that makes one product give Σ_k e_k c_k and Σ_k e_k.
        columns = torch.cat([pool.T, pool.new_ones(1, len(pool))]).contiguous()  # [d + 1, C]
        totals = anchors.new_empty(len(anchors))  # ln Σ_k exp(s_bk)
        grad_anchors, grad_columns = torch.empty_like(anchors), torch.zeros_like(columns[:d])  # [A, d], [d, C]
        entries = _BLOCK_ENTRIES * (4 if d >= _WIDE else 1)
        block = max(_LEAST_ROWS, entries // max(1, len(pool)))
        for rows in (slice(start, start + block) for start in range(0, len(anchors), block)):
            exponentials = scaled[rows] @ columns[:d]  # [b, C]
            if excluded is not None:
                there = (excluded[rows] >= 0).nonzero().squeeze(1)
                exponentials[there, excluded[rows][there]] = -torch.inf
            if sample is not None:
                exponentials.add_(stands_for[rows, None])
            shift = exponentials.amax(1) if needs_shift else exponentials.new_zeros(())
            if needs_shift:
                shift = shift.maximum(logits[rows])  # changes nothing where the positive is a column
                exponentials.sub_(shift[:, None])
            exponentials.exp_()
            sums = (columns @ exponentials.T).T  # [b, d + 1]
            if sample is not None:
                exponential = (logits[rows] - shift).exp()[:, None]  # [b, 1]
                sums = sums + exponential * F.pad(chosen[rows], (0, 1), value=1.0)
                own[rows] = (exponential / sums[:, d:]).squeeze(1)
            totals[rows] = sums[:, d].log() + shift
            if with_gradient:
                share = (weights[rows] / (temperature * sums[:, d]))[:, None]  # [b, 1]
                grad_anchors[rows] = sums[:, :d] * share
                grad_columns.addmm_((anchors[rows] * share).T, exponentials)
        if with_gradient:
            factor = (weights / temperature)[:, None]
            grad_anchors -= factor * chosen
            grad_candidates = grad_columns.T.contiguous()
            if sample is not None:
                grad_candidates = torch.zeros_like(candidates).index_copy_(0, sample, grad_candidates)
            grad_candidates.index_add_(0, positives, factor * (1 - own)[:, None] * anchors, alpha=-1)
            ctx.save_for_backward(grad_anchors, grad_candidates)
        return (weights * (totals - logits)).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_anchors, grad_candidates = ctx.saved_tensors
        return grad * grad_anchors, grad * grad_candidates, None, None, None, None, None, None


def _places(numbers: Tensor, ascending: Tensor) -> Tensor:
    """Where each number stands in a sorted vector; -1 where it does not."""
    places = torch.searchsorted(ascending, numbers).clamp(max=len(ascending) - 1)
    return torch.where(ascending[places] == numbers, places, -1)
