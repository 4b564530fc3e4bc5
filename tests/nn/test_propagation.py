import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.graph import BipartiteGraph
from prismrec.nn import layer_mean, layer_sum, rows_of_layer_mean
from prismrec.testing import default_dtype
from prismrec.types import Interactions

import plain

TRAIN = Interactions.from_pairs([0, 0, 1, 3], [0, 2, 2, 1], 5, 4)


@given(train=plain.odd_graphs(), dtype=plain.DTYPES, layers=st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_sum_and_mean_are_those_of_the_powers_of_the_dense_operator(
    train: Interactions, dtype: torch.dtype, layers: int
) -> None:
    with default_dtype(dtype):
        users, items = plain.random_rows(train.num_users, 3), plain.random_rows(train.num_items, 3, seed=1)
        graph, square = BipartiteGraph(train), plain.normalised(plain.adjacency(plain.dense(train)))
        expected = plain.layer_mean(square, torch.cat([users, items]), layers)
        plain.assert_same(torch.cat(layer_mean(graph, users, items, layers)), expected, users, items)
        plain.assert_same(torch.cat(layer_sum(graph, users, items, layers)), expected * (layers + 1), users, items)


def test_a_graph_of_plain_sums_is_propagated_too(float64: None) -> None:
    users, items = plain.random_rows(5, 2), plain.random_rows(4, 2)
    expected = 4 * plain.layer_mean(plain.adjacency(plain.dense(TRAIN)), torch.cat([users, items]), 3)
    plain.assert_same(torch.cat(layer_sum(BipartiteGraph(TRAIN, "none"), users, items, 3)), expected, users, items)


def test_without_layers_the_tables_come_back_as_copies() -> None:
    users, items = plain.random_rows(5, 2), plain.random_rows(4, 2)
    found = layer_sum(BipartiteGraph(TRAIN), users, items, 0)
    assert torch.equal(found[0], users)
    assert torch.equal(found[1], items)
    assert found[0].data_ptr() != users.data_ptr()


def test_it_can_be_read_on_one_side_alone(float64: None) -> None:
    users, items = plain.random_rows(5, 2), plain.random_rows(4, 2)
    square = plain.normalised(plain.adjacency(plain.dense(TRAIN)))
    expected = plain.layer_mean(square, torch.cat([users, items]), 2)
    plain.assert_same(layer_mean(BipartiteGraph(TRAIN), users, items, 2)[1], expected[5:], users, items)


@pytest.mark.parametrize("normalisation", ["rw", "rw_self"])
def test_a_graph_that_is_not_its_own_transpose_is_refused(normalisation: str) -> None:
    with pytest.raises(ValueError, match="symmetric"):
        layer_sum(BipartiteGraph(TRAIN, normalisation), torch.ones(5, 2), torch.ones(4, 2), 2)


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("rows", "columns"), [([3, 0], [2]), ([4], [3, 1, 0, 2]), ([], [0])])
def test_rows_of_the_mean_are_those_of_the_whole(
    implementation: str, layers: int, dtype: torch.dtype, rows: list[int], columns: list[int]
) -> None:
    with default_dtype(dtype):
        graph = BipartiteGraph(TRAIN)
        users, items = plain.random_rows(5, 70), plain.random_rows(4, 70, seed=1)
        chosen = torch.tensor(rows, dtype=torch.int64), torch.tensor(columns)
        found = torch.cat(rows_of_layer_mean(graph, users, items, layers, chosen))
        means = layer_mean(graph, users, items, layers)
        plain.assert_same(found, torch.cat([means[0][chosen[0]], means[1][chosen[1]]]), users, items)


def test_rows_of_a_graph_that_is_not_its_own_transpose_are_refused(implementation: str) -> None:
    rows = torch.tensor([0]), torch.tensor([0])
    with pytest.raises(ValueError, match="symmetric"):
        rows_of_layer_mean(BipartiteGraph(TRAIN, "rw"), torch.ones(5, 2), torch.ones(4, 2), 2, rows)
