"""Linear propagation over the user-item graph (LightGCN, He et al., SIGIR 2020, Eqs. 3-4)."""

from torch import Tensor

from prismrec.graph import BipartiteGraph
from prismrec.ops import RowNumbers, SparseMatrix
from prismrec.ops.propagation import (
    mean_of_layers_of_items,
    mean_of_layers_of_users,
    rows_of_sum_of_layers,
    sum_of_layers,
)


def layer_sum(graph: BipartiteGraph, users: Tensor, items: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    """Σ_{l=0..L} Â^l [users; items], split into `[U, d]` and `[I, d]`.

    Args:
        graph: Â, symmetric.
        users: `[U, d]`.
        items: `[I, d]`.
        layers: L.

    Raises:
        ValueError: the graph is not symmetric.
    """
    return sum_of_layers(_symmetric(graph), users, items, layers, 1.0)


def layer_mean(graph: BipartiteGraph, users: Tensor, items: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    """The readout of LightGCN: `layer_sum` / (L + 1), with the same arguments and errors."""
    return sum_of_layers(_symmetric(graph), users, items, layers, 1 / (layers + 1))


def rows_of_layer_mean(
    graph: BipartiteGraph, users: Tensor, items: Tensor, layers: int, rows: RowNumbers
) -> tuple[Tensor, Tensor]:
    """Some rows of `layer_mean`, `[n_U, d]` and `[n_I, d]`; the last layer is computed for these rows alone.

    Args:
        graph: Â, symmetric.
        users: `[U, d]`.
        items: `[I, d]`.
        layers: L.
        rows: distinct users int64 `[n_U]` and items int64 `[n_I]`, from `distinct_rows_of_batch`.

    Raises:
        ValueError: the graph is not symmetric.
    """
    return rows_of_sum_of_layers(_symmetric(graph), users, items, layers, 1 / (layers + 1), rows)


def layer_mean_of_users(graph: BipartiteGraph, users: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    """`layer_mean` of [users; 0], at half the cost: `[U, d]` and `[I, d]`.

    Raises:
        ValueError: the graph is not symmetric.
    """
    return mean_of_layers_of_users(_symmetric(graph), users, layers)


def layer_mean_of_items(graph: BipartiteGraph, items: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    """`layer_mean` of [0; items], at half the cost: `[U, d]` and `[I, d]`.

    Raises:
        ValueError: the graph is not symmetric.
    """
    return mean_of_layers_of_items(_symmetric(graph), items, layers)


def _symmetric(graph: BipartiteGraph) -> SparseMatrix:
    """M `[U, I]` of a graph [0 M; Mᵀ 0]."""
    if not graph.symmetric:
        raise ValueError("propagation over layers needs a symmetrically normalised graph")
    return graph.to_users
