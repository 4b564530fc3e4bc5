"""Ranking losses and regularisers. B is the number of rows given; repeated rows count repeatedly."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec import kernels
from prismrec.nn.rows import Rows, take_rows


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


def bpr_and_squares(
    users: Tensor, items: Tensor, rows: Rows | None = None, *, read_elsewhere: bool = True
) -> tuple[Tensor, Tensor]:
    """`bpr` of a batch and `half_squares` of the same rows, in fewer passes over them than apart.

    Args:
        users: `[B, d]`, or with rows a matrix `[U, d]`.
        items: `[2 B, d]`, the positives and then the negatives, or with rows a matrix `[I, d]`.
        rows: which rows of the matrices are the batch's, int64 `[B]` and `[2 B]`.
        read_elsewhere: whether the loss has other terms that read the matrices. The gradient of a weight that nothing
            else reads may be a sparse one.
    """
    return _rank(users, items, rows, False, read_elsewhere)


def bpr_and_norms(
    users: Tensor, items: Tensor, rows: Rows | None = None, *, read_elsewhere: bool = True
) -> tuple[Tensor, Tensor]:
    """`bpr` of a batch and `mean_norms` of the same rows; arguments as of `bpr_and_squares`."""
    return _rank(users, items, rows, True, read_elsewhere)


def _rank(users: Tensor, items: Tensor, rows: Rows | None, norms: bool, read_elsewhere: bool) -> tuple[Tensor, Tensor]:
    if kernels.usable(users, items):
        return _CompiledRanking.apply(users, items, rows, norms, read_elsewhere)
    if rows:
        users, items = take_rows(users, rows[0]), take_rows(items, rows[1])
    return _Ranking.apply(users, items, norms)


def _ranking_terms(ctx: Any, margins: Tensor, squares: Tensor, norms: bool) -> tuple[Tensor, Tensor]:
    """The loss, and the penalty of the sums of squares of users, positives and negatives `[3]`."""
    ctx.margins, ctx.lengths, ctx.norms = margins, squares.sqrt(), norms
    return F.softplus(margins).mean(), (ctx.lengths if norms else squares / 2).sum() / len(margins)


def _ranking_weights(ctx: Any, ranking: Tensor, penalty: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of the margins `[B]` and of the halves of the squares `[3]`."""
    weights = ctx.margins.sigmoid() * (ranking / len(ctx.margins))
    scales = (penalty / len(ctx.margins)).expand(3)
    return weights, torch.where(ctx.lengths > 0, scales / ctx.lengths, 0) if ctx.norms else scales


class _Ranking(torch.autograd.Function):
    """Ranking loss and penalty. All gradients of a row are written at once, those of all items into one matrix."""

    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, norms: bool) -> tuple[Tensor, Tensor]:
        positives, negatives = items.split(len(users))
        differences = negatives - positives
        ctx.save_for_backward(users, items, differences)
        margins = (users * differences).sum(1)
        return _ranking_terms(ctx, margins, _squares(users, positives, negatives), norms)

    @staticmethod
    def backward(ctx: Any, ranking: Tensor, penalty: Tensor) -> tuple[Tensor | None, ...]:
        users, items, differences = ctx.saved_tensors
        weights, scales = _ranking_weights(ctx, ranking, penalty)
        of_users = (differences * weights[:, None]).addcmul_(users, scales[0])
        of_items = torch.empty_like(items)
        positives, negatives = items.split(len(users))
        of_positives, of_negatives = of_items.split(len(users))
        torch.mul(users, weights[:, None], out=of_negatives)
        torch.mul(positives, scales[1], out=of_positives).sub_(of_negatives)
        of_negatives.addcmul_(negatives, scales[2])
        return of_users, of_items, None


class _CompiledRanking(torch.autograd.Function):
    """The same without copies of the rows that the batch reads."""

    @staticmethod
    def forward(
        ctx: Any, users: Tensor, items: Tensor, rows: Rows | None, norms: bool, read_elsewhere: bool
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(users, items)
        ctx.rows, ctx.read_elsewhere = rows, read_elsewhere
        return _ranking_terms(ctx, *kernels.rank(users, items, rows), norms)

    @staticmethod
    def backward(ctx: Any, ranking: Tensor, penalty: Tensor) -> tuple[Tensor | None, ...]:
        (users, items), rows = ctx.saved_tensors, ctx.rows
        weights, scales = _ranking_weights(ctx, ranking, penalty)
        gradients = []
        for side, matrix in enumerate((users, items)):
            sparse = rows is not None and matrix.is_leaf and not ctx.read_elsewhere
            gradient = kernels.rank_gradient(
                users, items, rows, weights, scales, of_items=side == 1, in_table=not sparse
            )
            if sparse:
                gradient = torch.sparse_coo_tensor(rows[side][None], gradient, matrix.shape, check_invariants=False)
            gradients.append(gradient)
        return *gradients, None, None, None


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
