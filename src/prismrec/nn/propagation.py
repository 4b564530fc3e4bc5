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
    if not graph.symmetric:
        raise ValueError("layer_sum needs a symmetrically normalised graph")
    return _LayerSum.apply(users, items, graph, layers)


def layer_mean(graph: BipartiteGraph, users: Tensor, items: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    """LightGCN's readout: `layer_sum` / (L + 1)."""
    summed_users, summed_items = layer_sum(graph, users, items, layers)
    return summed_users / (layers + 1), summed_items / (layers + 1)


class _LayerSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, graph: BipartiteGraph, layers: int) -> tuple[Tensor, Tensor]:
        ctx.graph, ctx.layers = graph, layers
        return _horner(graph, users, items, layers)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        users, items = (grad.contiguous() for grad in grads)
        return (*_horner(ctx.graph, users, items, ctx.layers), None, None)


def _horner(graph: BipartiteGraph, users: Tensor, items: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    sum_users, sum_items = users, items
    for _ in range(layers):
        sum_users, sum_items = (
            graph.to_users.add_product(users, sum_items),
            graph.to_users.add_product(items, sum_users, transposed=True),
        )
    if layers == 0:  # autograd must not be handed its own inputs back
        return users.clone(), items.clone()
    return sum_users, sum_items
