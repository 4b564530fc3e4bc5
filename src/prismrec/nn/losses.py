"""Ranking losses and regularisers. B is the number of rows given; repeated rows count repeatedly."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def bpr(users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Bayesian personalised ranking, mean of -ln σ(u·(i - j)) over the batch; each argument `[B, d]`.

    Rendle et al., UAI 2009. Computed as softplus, which cannot overflow.
    """
    return F.softplus((users * (negatives - positives)).sum(1)).mean()


def half_squares(*rows: Tensor) -> Tensor:
    """½ Σ ‖X‖² / B over matrices `[B, d]`: the regulariser of LightGCN and NGCF."""
    return torch.stack([matrix.square().sum() for matrix in rows]).sum() / (2 * len(rows[0]))


def mean_norms(*rows: Tensor) -> Tensor:
    """Σ ‖X‖_F / B over matrices `[B, d]`, norms not squared: the regulariser of LGMRec and MMRec."""
    return _Norms.apply(*rows).sum() / len(rows[0])


class _Norms(torch.autograd.Function):
    """‖X‖_F of each matrix. Its gradient X / ‖X‖ is one product, for which PyTorch's own goes three times over X."""

    @staticmethod
    def forward(ctx: Any, *rows: Tensor) -> Tensor:
        norms = torch.stack([torch.linalg.vector_norm(matrix) for matrix in rows])
        ctx.save_for_backward(norms, *rows)
        return norms

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        norms, *rows = ctx.saved_tensors
        scales = torch.where(norms > 0, grad / norms, 0)
        return tuple(matrix * scale for matrix, scale in zip(rows, scales, strict=True))
