"""Linear propagation over the user-item graph (LightGCN, He et al., SIGIR 2020, Eqs. 3-4), without stored layers.

The sum over layers is a polynomial in the graph operator Â: Σ_{l=0..L} Â^l X = X + Â(X + Â(X + ...)). Evaluated
from the inside out it needs L products and one pair of buffers; Â is its own transpose, so the gradient is the same
polynomial.
"""

from typing import Any

import torch
from torch import Tensor

from prismrec import kernels
from prismrec.graph import BipartiteGraph
from prismrec.nn.rows import Rows, take_rows


def layer_sum(graph: BipartiteGraph, users: Tensor, items: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    """Σ_{l=0..L} Â^l [users; items], split again into `[U, d]` and `[I, d]`; the graph must be symmetric.

    Raises:
        ValueError: the graph is not its own transpose.
    """
    return _scaled_sum(graph, users, items, layers, 1.0)


def layer_mean(graph: BipartiteGraph, users: Tensor, items: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    """LightGCN's readout: `layer_sum` / (L + 1)."""
    return _scaled_sum(graph, users, items, layers, 1 / (layers + 1))


def rows_of_layer_mean(
    graph: BipartiteGraph, users: Tensor, items: Tensor, layers: int, rows: Rows
) -> tuple[Tensor, Tensor]:
    """Some rows of `layer_mean`, `[n_U, d]` and `[n_I, d]`: the last layer is computed for these alone.

    Args:
        graph: must be symmetric.
        users: `[U, d]`.
        items: `[I, d]`.
        layers: L.
        rows: distinct users int64 `[n_U]` and items int64 `[n_I]`, as `merge_sides` gives them.

    Raises:
        ValueError: the graph is not its own transpose.
    """
    if layers and graph.symmetric and kernels.usable(users, items, graph.to_users.values):
        return _RowsOfLayerSum.apply(users, items, graph, layers, 1 / (layers + 1), rows)
    means = layer_mean(graph, users, items, layers)
    return take_rows(means[0], rows[0]), take_rows(means[1], rows[1])


def _scaled_sum(
    graph: BipartiteGraph, users: Tensor, items: Tensor, layers: int, scale: float
) -> tuple[Tensor, Tensor]:
    if not graph.symmetric:
        raise ValueError("the sum over layers needs a symmetrically normalised graph")
    return _LayerSum.apply(users, items, graph, layers, scale)


class _LayerSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, users: Tensor, items: Tensor, graph: BipartiteGraph, layers: int, scale: float
    ) -> tuple[Tensor, Tensor]:
        ctx.graph, ctx.layers, ctx.scale = graph, layers, scale
        return _horner(graph, users, items, layers, scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        users, items = (grad.contiguous() for grad in grads)
        return (*_horner(ctx.graph, users, items, ctx.layers, ctx.scale), None, None, None)


class _RowsOfLayerSum(torch.autograd.Function):
    """The outermost product gives the rows alone; in the gradient, zero outside of them, it comes first."""

    @staticmethod
    def forward(
        ctx: Any, users: Tensor, items: Tensor, graph: BipartiteGraph, layers: int, scale: float, rows: Rows
    ) -> tuple[Tensor, Tensor]:
        ctx.graph, ctx.layers, ctx.scale, ctx.rows = graph, layers, scale, rows
        inner_users, inner_items = _horner(graph, users, items, layers - 1, 1.0)
        product = graph.to_users.product_of_rows
        return (
            product(inner_items, rows=rows[0], base=users, scale=scale),
            product(inner_users, rows=rows[1], base=items, scale=scale, transposed=True),
        )

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        graph, rows, scale = ctx.graph, ctx.rows, ctx.scale
        product, sizes = graph.to_users.product_of_rows, graph.to_users.shape
        places = [_places(each, size) for each, size in zip(rows, sizes, strict=True)]
        arrived = (
            product(grads[1], places=places[1], scale=scale),
            product(grads[0], places=places[0], scale=scale, transposed=True),
        )
        totals = _horner(graph, *arrived, ctx.layers - 1, 1.0)
        for total, each, grad in zip(totals, rows, grads, strict=True):
            total.index_add_(0, each, grad, alpha=scale)
        return (*totals, None, None, None, None)


def _places(rows: Tensor, count: int) -> Tensor:
    """For each of `count` rows where it stands among `rows`, int32; -1 where it does not."""
    order = torch.arange(len(rows), dtype=torch.int32)
    return torch.full((count,), -1, dtype=torch.int32).index_copy_(0, rows, order)


def _horner(graph: BipartiteGraph, users: Tensor, items: Tensor, layers: int, scale: float) -> tuple[Tensor, Tensor]:
    if layers == 0:
        return users * scale, items * scale
    sum_users, sum_items = users, items
    for layer in range(1, layers + 1):
        factor = scale if layer == layers else 1.0
        sum_users, sum_items = (
            graph.to_users.add_product(users, sum_items, scale=factor),
            graph.to_users.add_product(items, sum_users, transposed=True, scale=factor),
        )
    return sum_users, sum_items
