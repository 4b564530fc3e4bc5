"""InfoNCE of rows that repeat: each distinct row takes part once, and counts as often as it occurs.

Pair b holds anchor p(b) and candidate q(b) and weighs w_b; with s_ac = <x_a, y_c> / τ, m_a = Σ_{b: p(b) = a} w_b, n_c
how often candidate c occurs, and Z_a = Σ_c n_c exp(s_ac), the sum over pairs is

    Σ_a m_a ln Z_a - Σ_b w_b s_p(b)q(b).

The similarities number (distinct anchors) x (distinct candidates): a fifth of B² in a batch made up of few users and
popular items for the most part.
"""

from typing import Any

import torch
from torch import Tensor

from prismrec.nn.partition import needs_shift, sums_over_candidates
from prismrec.nn.rows import occurrences


def merged_nce(
    anchors: Tensor,
    candidates: Tensor,
    anchor_places: Tensor,
    candidate_places: Tensor,
    temperature: float,
    *,
    weights: Tensor | None = None,
    counts: Tensor | None = None,
    cosines: bool = False,
) -> Tensor:
    """Σ_b w_b (ln Σ_c n_c exp(s_p(b)c) - s_p(b)q(b)), a scalar.

    Without weights and counts it is `in_batch_nce(anchors[anchor_places], candidates[candidate_places], temperature)`.

    Args:
        anchors: `[A, d]`.
        candidates: `[C, d]`.
        anchor_places: p, int64 `[B]`.
        candidate_places: q, int64 `[B]`.
        temperature: τ.
        weights: constants w `[B]`; None: 1/B each.
        counts: constants n `[C]`, 1 or more for each candidate that a pair names; None: how often the pairs name them,
            every one of them at least once.
        cosines: a promise that all inner products lie within ±1, which saves looking at the lengths of rows.
    """
    if weights is None:
        weights = torch.full_like(anchors[:1, 0], 1 / len(anchor_places)).expand(len(anchor_places))
    if counts is None:
        counts = occurrences(candidate_places, len(candidates)).to(candidates)
    shifted = needs_shift(anchors, candidates, temperature, cosines=cosines)
    pairs = anchor_places, candidate_places, weights
    return _MergedNCE.apply(anchors, candidates, *pairs, counts, temperature, shifted)


class _MergedNCE(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        anchors: Tensor,
        candidates: Tensor,
        anchor_places: Tensor,
        candidate_places: Tensor,
        weights: Tensor,
        counts: Tensor,
        temperature: float,
        shifted: bool,
    ) -> Tensor:
        masses = torch.zeros_like(anchors[:, 0]).index_add_(0, anchor_places, weights)  # m [A]
        scaled = anchors / temperature
        totals, means, pulls = sums_over_candidates(scaled, candidates, masses, shifted=shifted, counts=counts)
        factors = (weights / temperature)[:, None]  # [B, 1]
        chosen = factors * candidates[candidate_places]  # [B, d]
        # Σ_{b: p(b) = a} w_b y_q(b) / τ  [A, d]
        matched = torch.zeros_like(anchors).index_add_(0, anchor_places, chosen)
        grad_candidates = pulls.index_add_(0, candidate_places, factors * anchors[anchor_places], alpha=-1)
        ctx.save_for_backward((masses / temperature)[:, None] * means - matched, grad_candidates)
        return masses @ totals - (anchors * matched).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_anchors, grad_candidates = ctx.saved_tensors
        return grad * grad_anchors, grad * grad_candidates, None, None, None, None, None, None
