"""InfoNCE with very many candidates, in the memory of one block of similarities.

For an anchor a_b, candidates c_k, the positive p(b) and a temperature τ, with s_bk = <a_b, c_k> / τ, the loss is
ℓ_b = ln Σ_k exp(s_bk) - s_b,p(b); the positive is one of the candidates. The gradients are computed with the value:
∂ℓ_b/∂a_b = (Σ_k P_bk c_k - c_p(b)) / τ and ∂ℓ/∂c_k = Σ_b (P_bk - [k = p(b)]) a_b / τ, with P the softmax of s.
"""

from typing import Any

import torch
from torch import Tensor

from prismrec.ops.candidates import exponent_may_overflow, sum_over_candidates
from prismrec.ops.rows import count_rows


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
    """Σ_b w_b ℓ_b, a scalar. For cosines, normalise the rows first.

    With a sample S, Σ_k exp(s_bk) is estimated: the positive counts once, and each other candidate in S counts as
    (C - 1) / (number of others in S). The estimate of the sum is unbiased. Its logarithm has a bias of order 1 / |S|.

    Args:
        anchors: `[A, d]`.
        candidates: `[C, d]`.
        positives: int64 `[A]`, the positive candidate of each anchor.
        temperature: τ.
        weights: constants `[A]`; None means all ones. Use counts for merged anchors, 1/A for a mean.
        cosines: promises that all inner products lie within ±1, which saves computing the lengths of all rows.
        excluded: int64 `[A]`, one candidate that each anchor ignores; not its positive.
        sample: int64 `[S]`, at least two distinct candidates in ascending order, drawn uniformly; not together with
            `excluded`.

    Raises:
        ValueError: both `sample` and `excluded` are given.
    """
    if sample is not None and excluded is not None:
        raise ValueError("sample and excluded cannot be combined")
    if weights is None:
        weights = anchors.new_ones(len(anchors))
    may_overflow = exponent_may_overflow(anchors, candidates, temperature, cosines=cosines)
    return _InfoNCE.apply(anchors, candidates, positives, temperature, weights, may_overflow, excluded, sample)


class _InfoNCE(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        anchors: Tensor,
        candidates: Tensor,
        positives: Tensor,
        temperature: float,
        weights: Tensor,
        may_overflow: bool,
        excluded: Tensor | None,
        sample: Tensor | None,
    ) -> Tensor:
        scaled = anchors / temperature  # [A, d]
        positive_rows = candidates.index_select(0, positives)  # [A, d]
        logits = (scaled * positive_rows).sum(1)  # s_b,p(b) [A]
        if sample is None:
            totals, means, grad_candidates = sum_over_candidates(
                scaled, candidates, weights, may_overflow=may_overflow, excluded=excluded
            )  # ln Z [A], Σ_k P_bk c_k [A, d], Σ_b w_b P_bk a_b / τ [C, d]
            positive_weights = weights
        else:
            pool = candidates.index_select(0, sample)  # [S, d]
            own = _positions(positives, sample)  # of each positive in the sample, or -1 [A]
            others = len(sample) - (own >= 0).to(candidates)  # [A]
            # Each of the others counts exp(log_factor) times. Z is divided by that factor until the end.
            log_factor = ((len(candidates) - 1) / others).log()  # [A]
            log_positive = logits - log_factor
            totals, means, grad_pool = sum_over_candidates(
                scaled, pool, weights, may_overflow=may_overflow, excluded=own, log_others=log_positive
            )
            share = (log_positive - totals).exp()  # P_b,p(b) [A]
            totals = totals + log_factor
            means = means + share[:, None] * positive_rows
            positive_weights = weights * (1 - share)
            grad_candidates = torch.zeros_like(candidates).index_copy_(0, sample, grad_pool)
        grad_candidates.index_add_(0, positives, positive_weights[:, None] * scaled, alpha=-1)
        ctx.save_for_backward((weights / temperature)[:, None] * (means - positive_rows), grad_candidates)
        return (weights * (totals - logits)).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_anchors, grad_candidates = ctx.saved_tensors
        return grad * grad_anchors, grad * grad_candidates, None, None, None, None, None, None


def _positions(numbers: Tensor, ascending: Tensor) -> Tensor:
    """The position of each number in an ascending vector, or -1 if it is absent."""
    positions = torch.searchsorted(ascending, numbers).clamp(max=len(ascending) - 1)
    return torch.where(ascending[positions] == numbers, positions, -1)


def info_nce_of_pairs(
    anchors: Tensor,
    candidates: Tensor,
    anchor_of: Tensor,
    candidate_of: Tensor,
    temperature: float,
    *,
    weights: Tensor | None = None,
    counts: Tensor | None = None,
    cosines: bool = False,
) -> Tensor:
    """InfoNCE over pairs with repeated rows. Each distinct row is computed once and counts as often as it occurs.

    Pair b has the anchor p(b), the candidate q(b) and the weight w_b. With s_ac = <x_a, y_c> / τ, the loss is
    Σ_b w_b (ln Σ_c n_c exp(s_p(b)c) - s_p(b)q(b)). With few users or popular items, a batch has a fifth of B² distinct
    pairs of an anchor and a candidate. Without weights and counts, the result equals
    `in_batch_info_nce(anchors[anchor_of], candidates[candidate_of], temperature)`.

    Args:
        anchors: x `[A, d]`.
        candidates: y `[C, d]`.
        anchor_of: p, int64 `[B]`.
        candidate_of: q, int64 `[B]`.
        temperature: τ.
        weights: constants w `[B]`; None means 1/B.
        counts: constants n `[C]`, at least 1 for a candidate that a pair names. None counts how often the pairs name a
            candidate; then every candidate must be named.
        cosines: promises that all inner products lie within ±1, which saves computing the lengths of rows.
    """
    if weights is None:
        weights = torch.full_like(anchors[:1, 0], 1 / len(anchor_of)).expand(len(anchor_of))
    if counts is None:
        counts = count_rows(candidate_of, len(candidates)).to(candidates)
    may_overflow = exponent_may_overflow(anchors, candidates, temperature, cosines=cosines)
    return _InfoNCEOfPairs.apply(
        anchors, candidates, anchor_of, candidate_of, weights, counts, temperature, may_overflow
    )


class _InfoNCEOfPairs(torch.autograd.Function):
    """With m_a = Σ_{b: p(b) = a} w_b and Z_a = Σ_c n_c exp(s_ac), the loss is Σ_a m_a ln Z_a - Σ_b w_b s_p(b)q(b)."""

    @staticmethod
    def forward(
        ctx: Any,
        anchors: Tensor,
        candidates: Tensor,
        anchor_of: Tensor,
        candidate_of: Tensor,
        weights: Tensor,
        counts: Tensor,
        temperature: float,
        may_overflow: bool,
    ) -> Tensor:
        masses = torch.zeros_like(anchors[:, 0]).index_add_(0, anchor_of, weights)  # m [A]
        scaled = anchors / temperature  # [A, d]
        totals, means, grad_candidates = sum_over_candidates(
            scaled, candidates, masses, may_overflow=may_overflow, counts=counts
        )  # as in `CandidateSums`
        factors = (weights / temperature)[:, None]  # [B, 1]
        positives = factors * candidates[candidate_of]  # [B, d]
        matched = torch.zeros_like(anchors).index_add_(0, anchor_of, positives)  # Σ_{b: p(b) = a} w_b y_q(b) / τ [A, d]
        grad_candidates.index_add_(0, candidate_of, factors * anchors[anchor_of], alpha=-1)
        ctx.save_for_backward((masses / temperature)[:, None] * means - matched, grad_candidates)
        return masses @ totals - (anchors * matched).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_anchors, grad_candidates = ctx.saved_tensors
        return grad * grad_anchors, grad * grad_candidates, None, None, None, None, None, None
