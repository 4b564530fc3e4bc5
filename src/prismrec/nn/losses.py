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


def bpr_and_squares(users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """`bpr` of a batch and `half_squares` of the same rows, in fewer passes over them than apart.

    Args:
        users: `[B, d]`.
        items: `[2 B, d]`, the positives and then the negatives.
    """
    return _Ranked.apply(users, items, False)


def bpr_and_norms(users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """`bpr` of a batch and `mean_norms` of the same rows; arguments as of `bpr_and_squares`."""
    return _Ranked.apply(users, items, True)


class _Ranked(torch.autograd.Function):
    """Ranking loss and penalty. All gradients of a row are written at once, those of all items into one matrix."""

    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, norms: bool) -> tuple[Tensor, Tensor]:
        positives, negatives = items.split(len(users))
        differences = negatives - positives
        margins = (users * differences).sum(1)
        squares = _squares(users, positives, negatives)
        lengths = squares.sqrt()
        ctx.save_for_backward(users, items, differences, margins, lengths)
        ctx.norms = norms
        return F.softplus(margins).mean(), (lengths if norms else squares / 2).sum() / len(users)

    @staticmethod
    def backward(ctx: Any, ranking: Tensor, penalty: Tensor) -> tuple[Tensor | None, ...]:
        users, items, differences, margins, lengths = ctx.saved_tensors
        weights = (margins.sigmoid() * (ranking / len(users)))[:, None]  # [B, 1]
        scales = (penalty / len(users)).expand(3)  # of the rows of users, positives and negatives
        if ctx.norms:
            scales = torch.where(lengths > 0, scales / lengths, 0)
        of_users = (differences * weights).addcmul_(users, scales[0])
        of_items = torch.empty_like(items)
        positives, negatives = items.split(len(users))
        of_positives, of_negatives = of_items.split(len(users))
        torch.mul(users, weights, out=of_negatives)
        torch.mul(positives, scales[1], out=of_positives).sub_(of_negatives)
        of_negatives.addcmul_(negatives, scales[2])
        return of_users, of_items, None


class _Norms(torch.autograd.Function):
    """‖X‖_F of each matrix. Its gradient X / ‖X‖ is one product, for which PyTorch's own goes three times over X."""

    @staticmethod
    def forward(ctx: Any, *rows: Tensor) -> Tensor:
        norms = _squares(*rows).sqrt()
        ctx.save_for_backward(norms, *rows)
        return norms

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        norms, *rows = ctx.saved_tensors
        scales = torch.where(norms > 0, grad / norms, 0)
        return tuple(matrix * scale for matrix, scale in zip(rows, scales, strict=True))


def _squares(*matrices: Tensor) -> Tensor:
    """‖X‖_F² of each matrix, as products of vectors, which take half the time of PyTorch's norms."""
    return torch.stack([x.dot(x) for x in (matrix.reshape(-1) for matrix in matrices)])
