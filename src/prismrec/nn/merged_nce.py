"""InfoNCE within a batch whose rows repeat: each distinct row takes part once, and counts as often as it occurs.

Pair b of B holds anchor p(b) and candidate q(b); with s_ac = <x_a, y_c> / τ, m_a and n_c how often the pairs name
anchor a and candidate c, and Z_a = Σ_c n_c exp(s_ac), `in_batch_nce` of the pairs' rows is

    1/B (Σ_a m_a ln Z_a - Σ_b s_p(b)q(b)).

The similarities number (distinct anchors) x (distinct candidates) instead of B²: a fifth where a few users and popular
items make up most of a batch. The gradients are formed while a block of similarities is at hand, as in contrast.py.
"""

from typing import Any

import torch
from torch import Tensor

from prismrec.nn.contrast import exponentiate, needs_shift

_BLOCK_ENTRIES = 1 << 20
"""Similarities held at once, 4 MB in float32."""


def merged_nce(
    anchors: Tensor,
    candidates: Tensor,
    anchor_places: Tensor,
    candidate_places: Tensor,
    temperature: float,
    *,
    cosines: bool = False,
) -> Tensor:
    """`in_batch_nce(anchors[anchor_places], candidates[candidate_places], temperature)`.

    Args:
        anchors: `[A, d]`.
        candidates: `[C, d]`; each must be named by a pair.
        anchor_places: p, int64 `[B]`.
        candidate_places: q, int64 `[B]`.
        temperature: τ.
        cosines: a promise that all rows have length 1, which saves looking at their lengths.
    """
    shifted = needs_shift(anchors, candidates, temperature, cosines=cosines)
    return _MergedNCE.apply(anchors, candidates, anchor_places, candidate_places, temperature, shifted)


class _MergedNCE(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        anchors: Tensor,
        candidates: Tensor,
        anchor_places: Tensor,
        candidate_places: Tensor,
        temperature: float,
        shifted: bool,
    ) -> Tensor:
        (A, d), C = anchors.shape, len(candidates)
        weights = torch.bincount(anchor_places, minlength=A).to(anchors) / len(anchor_places)  # m / B [A]
        counts = torch.bincount(candidate_places, minlength=C).to(anchors)  # n [C]
        scaled, columns = anchors / temperature, candidates.T.contiguous()  # [A, d], [d, C]
        # With the counts as one more row, a single product gives Σ_c n_c e_c y_c and Z.
        weighted = torch.cat([columns * counts, counts[None]])  # [d + 1, C]
        totals = anchors.new_empty(A)  # ln Z
        grad_anchors, grad_columns = torch.empty_like(anchors), torch.zeros_like(columns)  # [A, d], [d, C]
        block = max(1, _BLOCK_ENTRIES // max(1, C))
        for part in (slice(start, start + block) for start in range(0, A, block)):
            exponentials = scaled[part] @ columns  # [a, C]
            shift = exponentiate(exponentials, shifted)
            sums = (weighted @ exponentials.T).T  # [a, d + 1]
            totals[part] = sums[:, d].log() + shift
            share = (weights[part] / (temperature * sums[:, d]))[:, None]  # [a, 1]
            grad_anchors[part] = sums[:, :d] * share
            grad_columns.addmm_((anchors[part] * share).T, exponentials)
        chosen, factor = candidates[candidate_places], -1 / (temperature * len(anchor_places))  # [B, d]
        matched = torch.zeros_like(anchors).index_add_(0, anchor_places, chosen)  # Σ_{b: p(b) = a} y_q(b) [A, d]
        grad_candidates = (grad_columns * counts).T.contiguous()
        grad_candidates.index_add_(0, candidate_places, anchors[anchor_places], alpha=factor)
        ctx.save_for_backward(grad_anchors.add_(matched, alpha=factor), grad_candidates)
        return weights @ totals + factor * (anchors * matched).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_anchors, grad_candidates = ctx.saved_tensors
        return grad * grad_anchors, grad * grad_candidates, None, None, None, None
