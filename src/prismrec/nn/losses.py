"""Ranking losses and regularisers. B is the number of rows given; a repeated row counts as often as it occurs."""

import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.ops import RowNumbers
from prismrec.ops.ranking import bpr_with_penalty, frobenius_norms


def bpr(users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Bayesian personalised ranking (Rendle et al., UAI 2009): the mean of -ln σ(u·(i - j)) over the batch.

    Computed as softplus, which does not overflow.

    Args:
        users: u `[B, d]`.
        positives: i `[B, d]`.
        negatives: j `[B, d]`.
    """
    return F.softplus((users * (negatives - positives)).sum(1)).mean()


def bpr_and_squares(
    users: Tensor, items: Tensor, rows: RowNumbers | None = None, *, sparse_grad: bool = False
) -> tuple[Tensor, Tensor]:
    """`bpr` of a batch and `half_squares` of the same rows, in fewer passes over them.

    Args:
        users: `[B, d]`, or a matrix `[U, d]` if `rows` are given.
        items: `[2 B, d]`, positives before negatives, or a matrix `[I, d]` if `rows` are given.
        rows: the batch's rows of the matrices, int64 `[B]` and `[2 B]`.
        sparse_grad: whether a weight that `rows` refer to may get a sparse gradient. Only valid if no other term of
            the loss reads that weight.
    """
    return bpr_with_penalty(users, items, rows, norms=False, sparse_grad=sparse_grad)


def bpr_and_norms(
    users: Tensor, items: Tensor, rows: RowNumbers | None = None, *, sparse_grad: bool = False
) -> tuple[Tensor, Tensor]:
    """`bpr` of a batch and `mean_norms` of the same rows; arguments as in `bpr_and_squares`."""
    return bpr_with_penalty(users, items, rows, norms=True, sparse_grad=sparse_grad)


def half_squares(*rows: Tensor) -> Tensor:
    """½ Σ ‖X‖_F² / B over matrices `[B, d]`: the regulariser of LightGCN and NGCF."""
    return sum_of_squares(*rows) / (2 * len(rows[0]))


def mean_norms(*rows: Tensor) -> Tensor:
    """Σ ‖X‖_F / B over matrices `[B, d]`, with norms not squared: the regulariser of LGMRec and MMRec."""
    return frobenius_norms(*rows).sum() / len(rows[0])


def hinge(users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """The mean of max(0, 1 - u·(i - j)) over the batch; each argument `[B, d]`."""
    return F.relu(1 - (users * (positives - negatives)).sum(1)).mean()


def sum_of_squares(*weights: Tensor) -> Tensor:
    """Σ ‖θ‖² over the given tensors."""
    return torch.stack([weight.square().sum() for weight in weights]).sum()
