from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from prismrec.graph import BipartiteGraph, Normalisation
from prismrec.ops import SparseMatrix
from prismrec.testing import default_dtype
from prismrec.types import Interactions

import plain

TRAIN = Interactions.from_pairs([0, 0, 1, 3, 3, 3], [0, 2, 2, 0, 1, 2], 5, 4)
"""Users 2 and 4 and item 3 have no interactions."""


def step(graph: BipartiteGraph, nodes: Tensor) -> Tensor:
    """One propagation of `[U + I, d]`."""
    users = len(nodes) - graph.to_users.shape[1]
    return torch.cat(graph(nodes[:users], nodes[users:]))


def operator(train: Interactions, normalisation: Normalisation) -> Tensor:
    """The square matrix `[U + I, U + I]` from its definition."""
    square = plain.adjacency(plain.dense(train))
    if normalisation == "none":
        return square
    if normalisation == "sym":
        return plain.normalised(square)
    if normalisation == "rw_self":
        square = square + torch.eye(len(square))
    mean = square / square.sum(1, keepdim=True).clamp(min=1)
    return mean + torch.eye(len(square)) if normalisation == "rw_plus_self" else mean


@given(
    train=plain.odd_graphs(),
    dtype=plain.DTYPES,
    normalisation=st.sampled_from(["sym", "rw", "rw_self", "rw_plus_self", "none"]),
)
@settings(max_examples=60, deadline=None)
def test_a_step_equals_the_dense_product(train: Interactions, dtype: torch.dtype, normalisation: Normalisation) -> None:
    with default_dtype(dtype):
        nodes = plain.random_rows(train.num_users + train.num_items, 3)
        found = step(BipartiteGraph(train, normalisation), nodes)
        plain.assert_same(found, operator(train, normalisation) @ nodes, nodes)


def test_roots_of_degrees_are_a_fixed_point_of_the_symmetric_operator(float64: None) -> None:
    roots = torch.from_numpy(np.concatenate([TRAIN.user_degrees, TRAIN.item_degrees])).double().sqrt()[:, None]
    torch.testing.assert_close(step(BipartiteGraph(TRAIN), roots), roots)


@pytest.mark.parametrize("normalisation", ["sym", "none"])
def test_symmetric_operators_are_self_adjoint_and_the_mean_over_neighbours_is_not(
    normalisation: Normalisation, float64: None
) -> None:
    x, y = plain.random_rows(9, 2), plain.random_rows(9, 2, seed=1)
    for name, symmetric in ((normalisation, True), ("rw", False)):
        graph = BipartiteGraph(TRAIN, name)
        assert graph.symmetric == symmetric
        assert torch.allclose((x * step(graph, y)).sum(), (step(graph, x) * y).sum()) == symmetric


def test_rows_of_a_mean_sum_to_one_or_zero() -> None:
    ones = torch.ones(9, 1)
    isolated = torch.tensor([0, 0, 1, 0, 1, 0, 0, 0, 1.0])[:, None]
    torch.testing.assert_close(step(BipartiteGraph(TRAIN, "rw"), ones), 1 - isolated)
    torch.testing.assert_close(step(BipartiteGraph(TRAIN, "rw_self"), ones), ones)
    torch.testing.assert_close(step(BipartiteGraph(TRAIN, "none"), ones)[:5, 0], torch.tensor([2.0, 1, 0, 3, 0]))


def test_a_node_without_neighbours_receives_at_most_itself() -> None:
    nodes = plain.random_rows(9, 2).detach()
    for normalisation in ("sym", "rw", "none"):
        assert not step(BipartiteGraph(TRAIN, normalisation), nodes)[[2, 4, 8]].any()
    torch.testing.assert_close(step(BipartiteGraph(TRAIN, "rw_self"), nodes)[[2, 4, 8]], nodes[[2, 4, 8]])


@given(train=plain.odd_graphs(), dtype=plain.DTYPES, data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_subgraph_equals_the_graph_of_the_kept_interactions(
    train: Interactions, dtype: torch.dtype, data: st.DataObject
) -> None:
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=len(train), max_size=len(train))), dtype=bool)
    rest = Interactions.from_pairs(train.users[kept], train.items[kept], train.num_users, train.num_items)
    with default_dtype(dtype):
        nodes = plain.random_rows(train.num_users + train.num_items, 3)
        subgraph = BipartiteGraph(train).subgraph(torch.from_numpy(kept))
        plain.assert_same(step(subgraph, nodes), step(BipartiteGraph(rest), nodes), nodes)
        assert subgraph.to_users.values.dtype == dtype
        # A subgraph of a subgraph chooses from all interactions again.
        back = subgraph.subgraph(torch.ones(len(train), dtype=torch.bool))
        torch.testing.assert_close(step(back, nodes), step(BipartiteGraph(train), nodes))


@pytest.mark.parametrize("normalisation", ["rw", "rw_self", "rw_plus_self", "none"])
def test_only_a_symmetrically_normalised_graph_has_subgraphs(normalisation: Normalisation) -> None:
    with pytest.raises(ValueError, match="symmetrically normalised"):
        BipartiteGraph(TRAIN, normalisation).subgraph(torch.ones(len(TRAIN), dtype=torch.bool))


@given(
    train=plain.odd_graphs(),
    dtype=plain.DTYPES,
    normalisation=st.sampled_from(["sym", "rw", "rw_self", "rw_plus_self", "none"]),
)
@settings(max_examples=40, deadline=None)
def test_sums_and_means_over_items_equal_loops_over_the_items_of_each_user(
    train: Interactions, dtype: torch.dtype, normalisation: Normalisation
) -> None:
    with default_dtype(dtype):
        graph, items = BipartiteGraph(train, normalisation), plain.random_rows(train.num_items, 3)
        histories = [train.items_of(user) for user in range(train.num_users)]
        sums = torch.stack([items[history].sum(0) for history in histories])
        means = torch.stack([items[history].sum(0) / max(len(history), 1) for history in histories])
        plain.assert_same(graph.sum_over_items()(items), sums, items)
        plain.assert_same(graph.mean_over_items()(items), means, items)


class GraphAndSums(nn.Module):
    """A graph and its sums, as in a model."""

    def __init__(self, normalisation: Normalisation) -> None:
        super().__init__()
        self.graph = BipartiteGraph(TRAIN, normalisation)
        self.sum_over_items = self.graph.sum_over_items()
        self.mean_over_items = self.graph.mean_over_items()

    @property
    def matrices(self) -> list[SparseMatrix]:
        return [self.graph.to_users, self.graph.to_items, self.sum_over_items, self.mean_over_items]


@pytest.mark.parametrize("normalisation", ["sym", "rw", "rw_self", "rw_plus_self", "none"])
def test_all_matrices_of_a_graph_share_one_pattern_also_after_a_copy_or_a_move(normalisation: Normalisation) -> None:
    model = GraphAndSums(normalisation)
    copied = deepcopy(model)
    moved = deepcopy(model).double().to("meta")
    for each in (model, copied, moved):
        pattern = each.graph.to_users.pattern
        assert all(matrix.pattern is pattern for matrix in each.matrices)
    assert model.sum_over_items.indices.data_ptr() == model.graph.to_users.indices.data_ptr()
    assert copied.graph.to_users.pattern is not model.graph.to_users.pattern
    assert all(matrix.values.is_meta and matrix.indices.is_meta for matrix in moved.matrices)


def test_a_symmetric_graph_stores_one_matrix_for_both_directions() -> None:
    graph = BipartiteGraph(TRAIN)
    assert graph.to_items is graph.to_users
    subgraph = graph.subgraph(torch.arange(len(TRAIN)) % 2 == 0)
    assert subgraph.to_users.pattern is graph.to_users.pattern


def test_a_degree_added_to_all_nodes_damps_the_entries(float64: None) -> None:
    graph = BipartiteGraph(TRAIN, added_degree=1.5)
    R = plain.dense(TRAIN)
    expected = (R.sum(1) + 1.5)[:, None] ** -0.5 * R * (R.sum(0) + 1.5) ** -0.5
    torch.testing.assert_close(graph.to_users(torch.eye(4)), expected)
    torch.testing.assert_close(graph.to_items.transposed(torch.eye(5)), expected.T)
