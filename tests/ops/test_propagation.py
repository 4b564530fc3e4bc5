import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from prismrec.graph import BipartiteGraph
from prismrec.ops import SparseMatrix
from prismrec.ops.propagation import (
    mean_of_layers_of_items,
    mean_of_layers_of_users,
    rows_of_sum_of_layers,
    sum_of_layers,
)
from prismrec.testing import default_dtype
from prismrec.types import Interactions

import plain

TRAIN = Interactions.from_pairs([0, 0, 1, 3], [0, 2, 2, 1], 5, 4)


def half(train: Interactions) -> SparseMatrix:
    """M of the symmetric operator [0 M; Mᵀ 0] of LightGCN."""
    return BipartiteGraph(train).to_users


def dense_mean(train: Interactions, users: Tensor, items: Tensor, layers: int) -> Tensor:
    """The mean over layers from powers of the dense operator, `[U + I, d]`."""
    square = plain.normalised(plain.adjacency(plain.dense(train)))
    return plain.layer_mean(square, torch.cat([users, items]), layers)


@given(train=plain.odd_graphs(), dtype=plain.DTYPES, layers=st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_the_scaled_sum_of_layers_equals_powers_of_the_dense_operator(
    train: Interactions, dtype: torch.dtype, layers: int
) -> None:
    with default_dtype(dtype):
        users, items = plain.random_rows(train.num_users, 3), plain.random_rows(train.num_items, 3, seed=1)
        found = torch.cat(sum_of_layers(half(train), users, items, layers, 0.3))
        expected = 0.3 * (layers + 1) * dense_mean(train, users, items, layers)
        plain.assert_same(found, expected, users, items)


def test_without_layers_the_sum_is_a_copy() -> None:
    users, items = plain.random_rows(5, 2), plain.random_rows(4, 2)
    sum_users, sum_items = sum_of_layers(half(TRAIN), users, items, 0, 1.0)
    assert torch.equal(sum_users, users)
    assert torch.equal(sum_items, items)
    assert sum_users.data_ptr() != users.data_ptr()


@pytest.mark.usefixtures("float64")
def test_the_gradient_is_right_if_the_loss_reads_one_side_only() -> None:
    users, items = plain.random_rows(5, 2), plain.random_rows(4, 2)
    _, found = sum_of_layers(half(TRAIN), users, items, 2, 1 / 3)
    plain.assert_same(found, dense_mean(TRAIN, users, items, 2)[5:], users, items)


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("layers", [0, 1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("user_rows", "item_rows"), [([3, 0], [2]), ([4], [3, 1, 0, 2]), ([], [0])])
def test_rows_of_the_sum_equal_those_of_all_rows(
    layers: int, dtype: torch.dtype, user_rows: list[int], item_rows: list[int]
) -> None:
    with default_dtype(dtype):
        users, items = plain.random_rows(5, 70), plain.random_rows(4, 70, seed=1)
        rows = torch.tensor(user_rows, dtype=torch.int64), torch.tensor(item_rows)
        found = torch.cat(rows_of_sum_of_layers(half(TRAIN), users, items, layers, 0.3, rows))
        all_users, all_items = sum_of_layers(half(TRAIN), users, items, layers, 0.3)
        plain.assert_same(found, torch.cat([all_users[rows[0]], all_items[rows[1]]]), users, items)


@given(train=plain.odd_graphs(), layers=st.integers(0, 4))
@settings(max_examples=40, deadline=None)
def test_the_mean_of_layers_of_users_has_zeros_as_items(train: Interactions, layers: int) -> None:
    users, zeros = plain.random_rows(train.num_users, 3), torch.zeros(train.num_items, 3)
    found = torch.cat(mean_of_layers_of_users(half(train), users, layers))
    plain.assert_same(found, dense_mean(train, users, zeros, layers), users)


@given(train=plain.odd_graphs(), layers=st.integers(0, 4))
@settings(max_examples=40, deadline=None)
def test_the_mean_of_layers_of_items_has_zeros_as_users(train: Interactions, layers: int) -> None:
    zeros, items = torch.zeros(train.num_users, 3), plain.random_rows(train.num_items, 3)
    found = torch.cat(mean_of_layers_of_items(half(train), items, layers))
    plain.assert_same(found, dense_mean(train, zeros, items, layers), items)


def test_the_mean_of_layers_of_one_side_does_not_change_its_argument() -> None:
    users, items = plain.random_rows(5, 3), plain.random_rows(4, 3)
    users_before, items_before = users.detach().clone(), items.detach().clone()
    mean_of_layers_of_users(half(TRAIN), users, 3)
    mean_of_layers_of_items(half(TRAIN), items, 3)
    assert torch.equal(users, users_before)
    assert torch.equal(items, items_before)
