"""Linear propagation over a bipartite graph without stored layers.

The operator Â = [0 M; Mᵀ 0] is symmetric, with M `[U, I]`. The sum over layers is a polynomial in Â:
Σ_{l=0..L} Â^l X = X + Â(X + Â(X + …)). Horner's scheme evaluates it from the inside out, with L products and one pair
of buffers. Â is its own transpose, so the gradient is the same polynomial.
"""

from typing import Any

import torch
from torch import Tensor

from prismrec.ops import _kernels
from prismrec.ops.rows import RowNumbers, take_rows
from prismrec.ops.sparse import SparseMatrix


def sum_of_layers(
    matrix: SparseMatrix, users: Tensor, items: Tensor, layers: int, scale: float
) -> tuple[Tensor, Tensor]:
    """scale · Σ_{l=0..L} Â^l [users; items].

    Args:
        matrix: M `[U, I]`.
        users: `[U, d]`.
        items: `[I, d]`.
        layers: L.
        scale: a factor.

    Returns:
        `[U, d]` and `[I, d]`.
    """
    return _SumOfLayers.apply(users, items, matrix, layers, scale)


def rows_of_sum_of_layers(
    matrix: SparseMatrix, users: Tensor, items: Tensor, layers: int, scale: float, rows: RowNumbers
) -> tuple[Tensor, Tensor]:
    """Some rows of `sum_of_layers`. The compiled kernel computes the last layer for these rows alone.

    Args:
        matrix: M `[U, I]`.
        users: `[U, d]`.
        items: `[I, d]`.
        layers: L.
        scale: a factor.
        rows: distinct users int64 `[n_U]` and items int64 `[n_I]`.

    Returns:
        `[n_U, d]` and `[n_I, d]`.
    """
    if layers and _kernels.usable(users, items, matrix.values):
        return _RowsOfSumOfLayers.apply(users, items, matrix, layers, scale, rows)
    all_users, all_items = sum_of_layers(matrix, users, items, layers, scale)
    return take_rows(all_users, rows[0]), take_rows(all_items, rows[1])


def mean_of_layers_of_users(matrix: SparseMatrix, users: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    """1 / (L + 1) Σ_{l=0..L} Â^l [users; 0]: each layer costs half a product.

    Args:
        matrix: M `[U, I]`.
        users: `[U, d]`.
        layers: L.

    Returns:
        `[U, d]` and `[I, d]`.
    """
    return _OneSidedMean.apply(users, matrix, layers, True)


def mean_of_layers_of_items(matrix: SparseMatrix, items: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    """1 / (L + 1) Σ_{l=0..L} Â^l [0; items]: each layer costs half a product.

    Args:
        matrix: M `[U, I]`.
        items: `[I, d]`.
        layers: L.

    Returns:
        `[U, d]` and `[I, d]`.
    """
    of_items, of_users = _OneSidedMean.apply(items, matrix, layers, False)
    return of_users, of_items


class _SumOfLayers(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, users: Tensor, items: Tensor, matrix: SparseMatrix, layers: int, scale: float
    ) -> tuple[Tensor, Tensor]:
        ctx.matrix = matrix
        ctx.layers = layers
        ctx.scale = scale
        return _horner(matrix, users, items, layers, scale)

    @staticmethod
    def backward(ctx: Any, grad_users: Tensor, grad_items: Tensor) -> tuple[Tensor | None, ...]:
        users, items = _horner(ctx.matrix, grad_users.contiguous(), grad_items.contiguous(), ctx.layers, ctx.scale)
        return users, items, None, None, None


class _RowsOfSumOfLayers(torch.autograd.Function):
    """Forward, the last product computes only the requested rows.

    The gradient of all other rows is zero, so backward, the first product reads only the requested rows.
    """

    @staticmethod
    def forward(
        ctx: Any, users: Tensor, items: Tensor, matrix: SparseMatrix, layers: int, scale: float, rows: RowNumbers
    ) -> tuple[Tensor, Tensor]:
        ctx.matrix = matrix
        ctx.layers = layers
        ctx.scale = scale
        ctx.rows = rows
        user_rows, item_rows = rows
        inner_users, inner_items = _horner(matrix, users, items, layers - 1, 1.0)  # [U, d], [I, d]
        outer_users = matrix.product_of_rows(inner_items, rows=user_rows, base=users, scale=scale)  # [n_U, d]
        outer_items = matrix.product_of_rows(inner_users, rows=item_rows, base=items, scale=scale, transposed=True)
        return outer_users, outer_items

    @staticmethod
    def backward(ctx: Any, grad_users: Tensor, grad_items: Tensor) -> tuple[Tensor | None, ...]:
        matrix, scale = ctx.matrix, ctx.scale
        user_rows, item_rows = ctx.rows
        user_positions = _positions(user_rows, matrix.shape[0])
        item_positions = _positions(item_rows, matrix.shape[1])
        to_users = matrix.product_of_rows(grad_items, positions=item_positions, scale=scale)  # [U, d]
        to_items = matrix.product_of_rows(grad_users, positions=user_positions, scale=scale, transposed=True)
        users, items = _horner(matrix, to_users, to_items, ctx.layers - 1, 1.0)
        users.index_add_(0, user_rows, grad_users, alpha=scale)
        items.index_add_(0, item_rows, grad_items, alpha=scale)
        return users, items, None, None, None, None


class _OneSidedMean(torch.autograd.Function):
    """The mean over layers of [rows; 0] if `are_users`, else of [0; rows]. The side of the rows is returned first.

    Even layers lie on the side of the given rows, odd layers on the other side.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, matrix: SparseMatrix, layers: int, are_users: bool) -> tuple[Tensor, Tensor]:
        ctx.matrix = matrix
        ctx.layers = layers
        ctx.are_users = are_users
        other_count = matrix.shape[1] if are_users else matrix.shape[0]
        layer = rows / (layers + 1)
        sums = [layer, rows.new_zeros(other_count, rows.shape[1])]
        for number in range(1, layers + 1):
            from_users = (number % 2 == 1) == are_users
            layer = matrix.transposed(layer) if from_users else matrix(layer)
            # The first layer of each side becomes its sum; it has been read before anything is added to it.
            sums[number % 2] = layer if number == 1 else sums[number % 2].add_(layer)
        return sums[0], sums[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        total = grads[ctx.layers % 2]
        for number in range(ctx.layers, 0, -1):  # g_own + Â (g_other + Â (g_own + …)), from the inside out
            to_items = (number % 2 == 0) == ctx.are_users
            total = ctx.matrix.add_product(grads[(number - 1) % 2], total.contiguous(), transposed=to_items)
        return total / (ctx.layers + 1), None, None, None


def _positions(rows: Tensor, count: int) -> Tensor:
    """For each of `count` rows its position in `rows`, int32; -1 if absent."""
    order = torch.arange(len(rows), dtype=torch.int32)
    return torch.full((count,), -1, dtype=torch.int32).index_copy_(0, rows, order)


def _horner(matrix: SparseMatrix, users: Tensor, items: Tensor, layers: int, scale: float) -> tuple[Tensor, Tensor]:
    """scale · Σ_{l=0..L} Â^l [users; items]."""
    if layers == 0:
        return users * scale, items * scale
    sum_users, sum_items = users, items
    for layer in range(1, layers + 1):
        factor = scale if layer == layers else 1.0
        next_users = matrix.add_product(users, sum_items, scale=factor)
        next_items = matrix.add_product(items, sum_users, transposed=True, scale=factor)
        sum_users, sum_items = next_users, next_items
    return sum_users, sum_items
