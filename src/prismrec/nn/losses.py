"""Ranking losses and regularisers. B is the number of rows given; repeated rows count repeatedly."""

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
    return torch.stack([torch.linalg.vector_norm(matrix) for matrix in rows]).sum() / len(rows[0])
