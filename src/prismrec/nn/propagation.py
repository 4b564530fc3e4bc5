"""Linear propagation over the user-item graph (LightGCN, He et al., SIGIR 2020, Eqs. 3-4), without stored layers.

The sum over layers is a polynomial in the graph operator Â: Σ_{l=0..L} Â^l X = X + Â(X + Â(X + ...)). Evaluated
from the inside out it needs L products and one pair of buffers; Â is its own transpose, so the gradient is the same
polynomial.
"""

from typing import Any

import torch
from torch import Tensor

from prismrec.graph import BipartiteGraph


def layer_sum(graph: BipartiteGraph, users: Tensor, items: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    """Σ_{l=0..L} Â^l [users; items], split again into `[U, d]` and `[I, d]`; the graph must be symmetric.

    Raises:
        ValueError: the graph is not its own transpose.
    """
    return _scaled_sum(graph, users, items, layers, 1.0)


def layer_mean(graph: BipartiteGraph, users: Tensor, items: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    """LightGCN's readout: `layer_sum` / (L + 1)."""
    return _scaled_sum(graph, users, items, layers, 1 / (layers + 1))


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
