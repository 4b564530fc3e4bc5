import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.graph import BipartiteGraph
from prismrec.nn.propagation import (
    layer_mean,
    layer_mean_of_items,
    layer_mean_of_users,
    layer_sum,
    rows_of_layer_mean,
)
from prismrec.testing import default_dtype
from prismrec.types import Interactions

import plain

TRAIN = Interactions.from_pairs([0, 0, 1, 3], [0, 2, 2, 1], 5, 4)


@given(train=plain.odd_graphs(), dtype=plain.DTYPES, layers=st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_the_sum_and_the_mean_of_layers_equal_powers_of_the_dense_operator(
    train: Interactions, dtype: torch.dtype, layers: int
) -> None:
    with default_dtype(dtype):
        users, items = plain.random_rows(train.num_users, 3), plain.random_rows(train.num_items, 3, seed=1)
        graph, square = BipartiteGraph(train), plain.normalised(plain.adjacency(plain.dense(train)))
        expected = plain.layer_mean(square, torch.cat([users, items]), layers)
        plain.assert_same(torch.cat(layer_mean(graph, users, items, layers)), expected, users, items)
        plain.assert_same(torch.cat(layer_sum(graph, users, items, layers)), expected * (layers + 1), users, items)


@pytest.mark.usefixtures("float64")
def test_a_graph_that_is_not_normalised_can_be_propagated() -> None:
    users, items = plain.random_rows(5, 2), plain.random_rows(4, 2)
    expected = 4 * plain.layer_mean(plain.adjacency(plain.dense(TRAIN)), torch.cat([users, items]), 3)
    plain.assert_same(torch.cat(layer_sum(BipartiteGraph(TRAIN, "none"), users, items, 3)), expected, users, items)


def test_rows_of_the_mean_are_those_of_all_rows() -> None:
    graph, rows = BipartiteGraph(TRAIN), (torch.tensor([3, 0]), torch.tensor([2]))
    users, items = plain.random_rows(5, 3), plain.random_rows(4, 3, seed=1)
    found_users, found_items = rows_of_layer_mean(graph, users, items, 3, rows)
    all_users, all_items = layer_mean(graph, users, items, 3)
    torch.testing.assert_close(found_users, all_users[rows[0]])
    torch.testing.assert_close(found_items, all_items[rows[1]])


def test_the_means_of_both_sides_add_up_to_the_mean() -> None:
    graph, users, items = BipartiteGraph(TRAIN), plain.random_rows(5, 3), plain.random_rows(4, 3, seed=1)
    users_of_users, items_of_users = layer_mean_of_users(graph, users, 3)
    users_of_items, items_of_items = layer_mean_of_items(graph, items, 3)
    mean_users, mean_items = layer_mean(graph, users, items, 3)
    torch.testing.assert_close(users_of_users + users_of_items, mean_users)
    torch.testing.assert_close(items_of_users + items_of_items, mean_items)


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("normalisation", ["rw", "rw_self"])
def test_a_graph_that_is_not_symmetric_is_refused(normalisation: str) -> None:
    graph, users, items = BipartiteGraph(TRAIN, normalisation), torch.ones(5, 2), torch.ones(4, 2)
    with pytest.raises(ValueError, match="symmetric"):
        layer_sum(graph, users, items, 2)
    with pytest.raises(ValueError, match="symmetric"):
        layer_mean(graph, users, items, 2)
    with pytest.raises(ValueError, match="symmetric"):
        layer_mean_of_users(graph, users, 2)
    with pytest.raises(ValueError, match="symmetric"):
        layer_mean_of_items(graph, items, 2)
    with pytest.raises(ValueError, match="symmetric"):
        rows_of_layer_mean(graph, users, items, 2, (torch.tensor([0]), torch.tensor([0])))
