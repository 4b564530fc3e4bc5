import pytest
import torch
from torch import Tensor

from prismrec.ops.rows import merge, take_rows, take_rows_sparse_grad, triplet_rows
from prismrec.types import Triplets

import plain


@pytest.mark.parametrize("rows", [torch.tensor([3, 0, 3, 3, 1]), torch.tensor([], dtype=torch.int64), slice(1, 4)])
@pytest.mark.parametrize("shape", [(5,), (5, 2), (5, 2, 3)])
def test_rows_and_their_gradient_are_those_of_indexing(shape: tuple[int, ...], rows: Tensor | slice) -> None:
    matrix = plain.random_rows(*shape)
    plain.assert_same(take_rows(matrix, rows), matrix[rows], matrix)


def test_a_triplet_has_the_rows_of_its_user_its_positive_and_its_negative() -> None:
    users, items = plain.random_rows(4, 2), plain.random_rows(5, 2, seed=1)
    batch = Triplets(torch.tensor([3, 3, 0]), torch.tensor([4, 1, 1]), torch.tensor([0, 2, 2]))
    for found, expected in zip(
        triplet_rows(users, items, batch), (users[[3, 3, 0]], items[[4, 1, 1]], items[[0, 2, 2]]), strict=True
    ):
        plain.assert_same(found, expected, users, items)


def test_rows_of_a_table_have_the_gradient_of_indexing() -> None:
    table, rows = plain.random_rows(5, 2), torch.tensor([3, 0, 3])
    assert torch.equal(take_rows_sparse_grad(table, rows), table[rows])
    targets = torch.randn(3, 2)
    found, expected = ((read * targets).sum() for read in (take_rows_sparse_grad(table, rows), table[rows]))
    plain.assert_same_gradients(found, expected, [table])


@pytest.mark.parametrize("count", [7, 1000])
def test_merged_rows_ascend_and_every_row_finds_its_place(count: int) -> None:
    rows = torch.tensor([6, 2, 2, 0, 6])
    merged = merge(rows, count)
    assert merged.rows.tolist() == [0, 2, 6]
    assert merged.places.tolist() == [2, 1, 1, 0, 2]
    assert merged.counts.tolist() == [1, 2, 2]


def test_elsewhere_rows_stay_as_they_are() -> None:
    rows = torch.tensor([6, 2, 2], device="meta")
    merged = merge(rows, 7)
    assert merged.rows is rows
    assert merged.counts.shape == merged.places.shape == (3,)
