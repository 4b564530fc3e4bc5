"""InfoNCE: the contrast of a few anchors with very many candidates, in memory of one block.

For anchors a_b, candidates c_k, positive index p(b) and temperature τ, with s_bk = <a_b, c_k> / τ,
ℓ_b = ln Σ_k exp(s_bk) - s_b,p(b), the positive being one of the candidates. The gradients come with the value:
∂ℓ_b/∂a_b = (Σ_k P_bk c_k - c_p(b)) / τ and ∂ℓ/∂c_k = Σ_b (P_bk - [k = p(b)]) a_b / τ, with P the softmax of s.

Where even that is too much, Σ_k exp(s_bk) may be estimated from a sample S of the candidates: the positive as it is,
and the others in S times the number of others there are for each of them. The estimate of the sum has no bias; that of
its logarithm has a small one, of the order of 1 / |S|.
"""

from typing import Any

import torch
from torch import Tensor

from prismrec.nn.partition import needs_shift, sums_over_candidates


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
        scaled, chosen = anchors / temperature, candidates.index_select(0, positives)
        logits = (scaled * chosen).sum(1)  # s_b,p(b)
        if sample is None:
            totals, means, pulls = sums_over_candidates(scaled, candidates, weights, shifted=shifted, excluded=excluded)
            drawn = weights
        else:
            # All others count `rest` times as much as the positive; so Z is divided by that.
            pool, places = candidates.index_select(0, sample), _places(positives, sample)
            rest = ((len(candidates) - 1) / (len(sample) - (places >= 0).to(candidates))).log()
            others = logits - rest
            totals, means, pulls = sums_over_candidates(
                scaled, pool, weights, shifted=shifted, excluded=places, others=others
            )
            own = (others - totals).exp()  # the positive's share P_b,p(b)
            totals, means, drawn = totals + rest, means + own[:, None] * chosen, weights * (1 - own)
            pulls = torch.zeros_like(candidates).index_copy_(0, sample, pulls)
        pulls.index_add_(0, positives, drawn[:, None] * scaled, alpha=-1)
        ctx.save_for_backward((weights / temperature)[:, None] * (means - chosen), pulls)
        return (weights * (totals - logits)).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_anchors, grad_candidates = ctx.saved_tensors
        return grad * grad_anchors, grad * grad_candidates, None, None, None, None, None, None


def _places(numbers: Tensor, ascending: Tensor) -> Tensor:
    """Where each number stands in a sorted vector; -1 where it does not."""
    places = torch.searchsorted(ascending, numbers).clamp(max=len(ascending) - 1)
    return torch.where(ascending[places] == numbers, places, -1)
