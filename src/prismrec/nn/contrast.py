"""InfoNCE in blocks: the contrast of a few anchors with very many candidates, in memory of one block.

For anchors a_b, candidates c_k, positive index p(b) and temperature τ, with s_bk = <a_b, c_k> / τ,
ℓ_b = ln Σ_k exp(s_bk) - s_b,p(b), the positive being one of the candidates. The gradients are formed while the
block of similarities is at hand, so nothing of size anchors x candidates is kept or computed twice:
∂ℓ_b/∂a_b = (Σ_k P_bk c_k - c_p(b)) / τ and ∂ℓ/∂c_k = Σ_b (P_bk - [k = p(b)]) a_b / τ, with P the softmax of s.
"""

from typing import Any

import torch
from torch import Tensor

_BLOCK_ENTRIES = 1 << 21
"""Similarities held at once: 8 MB in float32, so that a block stays within a core's cache."""


def info_nce(
    anchors: Tensor, candidates: Tensor, positives: Tensor, temperature: float, weights: Tensor | None = None
) -> Tensor:
    """Σ_b w_b ℓ_b, a scalar. Normalise rows beforehand where the paper uses cosines.

    Args:
        anchors: `[A, d]`.
        candidates: `[C, d]`.
        positives: int64 `[A]`, the candidate that belongs to each anchor.
        temperature: τ.
        weights: constant `[A]`, all ones where absent; repeated anchors can be merged into one with their count,
            and a mean is weights of 1/A.
    """
    if weights is None:
        weights = anchors.new_ones(len(anchors))
    return _InfoNCE.apply(anchors, candidates, positives, temperature, weights)


class _InfoNCE(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, anchors: Tensor, candidates: Tensor, positives: Tensor, temperature: float, weights: Tensor
    ) -> Tensor:
        with_gradient = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        scaled = anchors / temperature
        loss = anchors.new_zeros(())
        grad_anchors = torch.empty_like(anchors) if with_gradient else None
        grad_candidates = torch.zeros_like(candidates) if with_gradient else None
        block = max(1, _BLOCK_ENTRIES // max(1, len(candidates)))
        for start in range(0, len(anchors), block):
            rows = slice(start, start + block)
            similarity = scaled[rows] @ candidates.T  # [b, C]
            positive = similarity.gather(1, positives[rows, None]).squeeze(1)  # [b]
            shift = similarity.amax(1, keepdim=True)
            weight = weights[rows]
            exponentials = similarity.sub_(shift).exp_()
            total = exponentials.sum(1, keepdim=True)
            loss += (weight * (total.log() + shift).squeeze(1)).sum() - (weight * positive).sum()
            if grad_anchors is not None and grad_candidates is not None:
                factor = (weight / temperature).unsqueeze(1)
                grad_anchors[rows] = exponentials @ candidates * (factor / total)  # Σ_k P_bk c_k
                grad_candidates.addmm_(exponentials.T, anchors[rows] * (factor / total))
        if grad_anchors is not None and grad_candidates is not None:
            factor = (weights / temperature).unsqueeze(1)
            grad_anchors -= factor * candidates.index_select(0, positives)
            grad_candidates.index_add_(0, positives, factor * anchors, alpha=-1)
            ctx.save_for_backward(grad_anchors, grad_candidates)
        return loss

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_anchors, grad_candidates = ctx.saved_tensors
        return grad * grad_anchors, grad * grad_candidates, None, None, None
