"""The BPR loss of a batch of triplets and a penalty on the same rows, in few passes over the rows."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.ops import _kernels
from prismrec.ops.rows import RowNumbers, take_rows


def bpr_with_penalty(
    users: Tensor, items: Tensor, rows: RowNumbers | None, *, norms: bool, sparse_grad: bool
) -> tuple[Tensor, Tensor]:
    """The mean of -ln σ(u·(i - j)) over B triplets, and a penalty on the rows of u, i and j; two scalars.

    Args:
        users: `[B, d]`, or a matrix `[U, d]` if `rows` are given.
        items: `[2 B, d]`, positives before negatives, or a matrix `[I, d]` if `rows` are given.
        rows: the batch's rows of the matrices, int64 `[B]` and `[2 B]`.
        norms: whether the penalty is Σ ‖X‖_F / B over the three matrices, else ½ Σ ‖X‖_F² / B.
        sparse_grad: whether a weight that `rows` refer to may get a sparse gradient.
    """
    if _kernels.usable(users, items):
        return _CompiledRanking.apply(users, items, rows, norms, sparse_grad)
    if rows is not None:
        users = take_rows(users, rows[0])  # [B, d]
        items = take_rows(items, rows[1])  # [2 B, d]
    return _Ranking.apply(users, items, norms)


def frobenius_norms(*matrices: Tensor) -> Tensor:
    """‖X‖_F of each matrix, `[number of matrices]`; the gradient X / ‖X‖ takes one pass instead of PyTorch's three."""
    return _FrobeniusNorms.apply(*matrices)


def _terms(ctx: Any, margins: Tensor, squares: Tensor, norms: bool) -> tuple[Tensor, Tensor]:
    """Loss and penalty from the margins `[B]` and the squared norms of users, positives and negatives `[3]`."""
    ctx.margins = margins
    ctx.lengths = squares.sqrt()  # [3]
    ctx.norms = norms
    loss = F.softplus(margins).mean()
    penalty = (ctx.lengths if norms else squares / 2).sum() / len(margins)
    return loss, penalty


def _term_gradients(ctx: Any, grad_loss: Tensor, grad_penalty: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients with respect to the margins `[B]` and to half the squared norms `[3]`."""
    weights = ctx.margins.sigmoid() * (grad_loss / len(ctx.margins))  # [B]
    scales = (grad_penalty / len(ctx.margins)).expand(3)
    if ctx.norms:
        scales = torch.where(ctx.lengths > 0, scales / ctx.lengths, 0)
    return weights, scales


class _Ranking(torch.autograd.Function):
    """Each gradient is written once; positives and negatives share one matrix."""

    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, norms: bool) -> tuple[Tensor, Tensor]:
        positives, negatives = items.split(len(users))
        differences = negatives - positives
        ctx.save_for_backward(users, items, differences)
        margins = (users * differences).sum(1)
        return _terms(ctx, margins, _squared_norms(users, positives, negatives), norms)

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor, grad_penalty: Tensor) -> tuple[Tensor | None, ...]:
        users, items, differences = ctx.saved_tensors
        weights, scales = _term_gradients(ctx, grad_loss, grad_penalty)
        grad_users = (differences * weights[:, None]).addcmul_(users, scales[0])
        grad_items = torch.empty_like(items)
        positives, negatives = items.split(len(users))
        grad_positives, grad_negatives = grad_items.split(len(users))
        torch.mul(users, weights[:, None], out=grad_negatives)
        torch.mul(positives, scales[1], out=grad_positives).sub_(grad_negatives)
        grad_negatives.addcmul_(negatives, scales[2])
        return grad_users, grad_items, None


class _CompiledRanking(torch.autograd.Function):
    """The same by the compiled kernel, which reads the rows of the batch in place."""

    @staticmethod
    def forward(
        ctx: Any, users: Tensor, items: Tensor, rows: RowNumbers | None, norms: bool, sparse_grad: bool
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(users, items)
        ctx.rows = rows
        ctx.sparse_users = rows is not None and sparse_grad and users.is_leaf
        ctx.sparse_items = rows is not None and sparse_grad and items.is_leaf
        margins, squares = _kernels.triplet_margins(users, items, rows)
        return _terms(ctx, margins, squares, norms)

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor, grad_penalty: Tensor) -> tuple[Tensor | None, ...]:
        users, items = ctx.saved_tensors
        weights, scales = _term_gradients(ctx, grad_loss, grad_penalty)
        grad_users = _kernels.triplet_gradient(
            users, items, ctx.rows, weights, scales, of_items=False, dense=not ctx.sparse_users
        )
        grad_items = _kernels.triplet_gradient(
            users, items, ctx.rows, weights, scales, of_items=True, dense=not ctx.sparse_items
        )
        if ctx.sparse_users:
            grad_users = _sparse_rows(ctx.rows[0], grad_users, users)
        if ctx.sparse_items:
            grad_items = _sparse_rows(ctx.rows[1], grad_items, items)
        return grad_users, grad_items, None, None, None


def _sparse_rows(rows: Tensor, values: Tensor, like: Tensor) -> Tensor:
    """A sparse matrix of the shape of `like` with these rows."""
    return torch.sparse_coo_tensor(rows[None], values, like.shape, check_invariants=False)


class _FrobeniusNorms(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *matrices: Tensor) -> Tensor:
        norms = _squared_norms(*matrices).sqrt()
        ctx.save_for_backward(norms, *matrices)
        return norms

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        norms, *matrices = ctx.saved_tensors
        scales = torch.where(norms > 0, grad / norms, 0)
        return tuple(matrix * scale for matrix, scale in zip(matrices, scales, strict=True))


def _squared_norms(*matrices: Tensor) -> Tensor:
    """‖X‖_F² of each matrix, as inner products of vectors, in half the time of PyTorch's norms."""
    flat = [matrix.reshape(-1) for matrix in matrices]
    return torch.stack([x.dot(x) for x in flat])
