import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.ops.rows import (
    count_rows,
    distinct_rows,
    distinct_rows_of_batch,
    take_rows,
    take_rows_sparse_grad,
    triplet_rows,
    unit_rows,
    unit_rows_and_sum_of_squares,
)
from prismrec.types import Triplets

import plain

BATCH = Triplets(torch.tensor([3, 3, 0]), torch.tensor([4, 1, 1]), torch.tensor([0, 2, 2]))


@pytest.mark.parametrize("rows", [torch.tensor([3, 0, 3, 3, 1]), torch.tensor([], dtype=torch.int64), slice(1, 4)])
@pytest.mark.parametrize("shape", [(5,), (5, 2), (5, 2, 3)])
def test_take_rows_equals_indexing(shape: tuple[int, ...], rows: Tensor | slice) -> None:
    matrix = plain.random_rows(*shape)
    plain.assert_same(take_rows(matrix, rows), matrix[rows], matrix)


def test_take_rows_sparse_grad_equals_indexing_and_its_gradient_is_sparse() -> None:
    table, rows = plain.random_rows(5, 2), torch.tensor([3, 0, 3])
    found, expected = take_rows_sparse_grad(table, rows), table[rows]
    assert torch.equal(found, expected)
    assert torch.autograd.grad(found.sum(), table, retain_graph=True)[0].is_sparse
    targets = torch.randn(3, 2)
    plain.assert_same_gradients((found * targets).sum(), (expected * targets).sum(), [table])


def test_count_rows_equals_bincount() -> None:
    rows = torch.tensor([6, 2, 2, 0, 6])
    assert torch.equal(count_rows(rows, 9), rows.bincount(minlength=9))


@pytest.mark.parametrize("count", [7, 1000])
def test_distinct_rows_ascend_and_every_row_finds_its_position(count: int) -> None:
    """Found by scanning a small table, and by sorting the rows of a large one."""
    distinct = distinct_rows(torch.tensor([6, 2, 2, 0, 6]), count)
    assert distinct.rows.tolist() == [0, 2, 6]
    assert distinct.inverse.tolist() == [2, 1, 1, 0, 2]
    assert distinct.counts.tolist() == [1, 2, 2]


def test_distinct_rows_keeps_the_list_on_other_devices() -> None:
    rows = torch.tensor([6, 2, 2], device="meta")
    distinct = distinct_rows(rows, 7)
    assert distinct.rows is rows
    assert distinct.counts.shape == distinct.inverse.shape == (3,)


def test_distinct_rows_of_a_batch_lists_positives_before_negatives() -> None:
    rows, positions = distinct_rows_of_batch(BATCH, 4, 5)
    assert rows[0].tolist() == [0, 3]
    assert rows[1].tolist() == [0, 1, 2, 4]
    assert torch.equal(rows[0][positions[0]], BATCH.users)
    assert torch.equal(rows[1][positions[1]], torch.cat([BATCH.positives, BATCH.negatives]))


def test_triplet_rows_are_those_of_users_positives_and_negatives() -> None:
    users, items = plain.random_rows(4, 2), plain.random_rows(5, 2, seed=1)
    found_users, found_positives, found_negatives = triplet_rows(users, items, BATCH)
    plain.assert_same(found_users, users[[3, 3, 0]], users, items)
    plain.assert_same(found_positives, items[[4, 1, 1]], users, items)
    plain.assert_same(found_negatives, items[[0, 2, 2]], users, items)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("shape", [(7, 4), (3, 2, 5), (4, 1)])
def test_unit_rows_equals_normalize(shape: tuple[int, ...]) -> None:
    x = plain.random_rows(*shape)
    plain.assert_same(unit_rows(x), F.normalize(x, dim=-1), x)


def test_a_zero_row_has_no_unit_row_and_stays_zero() -> None:
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    torch.testing.assert_close(unit_rows(x), torch.tensor([[0.0, 0.0], [0.6, 0.8]]))


@pytest.mark.usefixtures("float64")
def test_unit_rows_divides_short_rows_by_the_shortest_length() -> None:
    x = torch.tensor([[3e-9, 4e-9], [3.0, 4.0]])
    torch.testing.assert_close(unit_rows(x, 1e-8), F.normalize(x, eps=1e-8))


@pytest.mark.parametrize("with_zeros", [False, True])
def test_unit_rows_and_sum_of_squares_equal_the_plain_forms(float64: None, with_zeros: bool) -> None:
    """The loss reads both results, so its gradient adds up both parts."""
    x = plain.random_rows(5, 3)
    if with_zeros:
        x.data[2] = 0
    targets = torch.randn(5, 3)

    def loss(unit: Tensor, squares: Tensor) -> Tensor:
        return (unit * targets).sum() + 0.3 * squares

    unit, squares = unit_rows_and_sum_of_squares(x)
    torch.testing.assert_close(unit, F.normalize(x))
    torch.testing.assert_close(squares, x.square().sum())
    plain.assert_same_gradients(loss(unit, squares), loss(F.normalize(x), x.square().sum()), [x])


def test_a_loss_may_read_one_result_of_unit_rows_and_sum_of_squares(float64: None) -> None:
    x = plain.random_rows(5, 3)
    plain.assert_same(unit_rows_and_sum_of_squares(x)[0], F.normalize(x), x)
    plain.assert_same(unit_rows_and_sum_of_squares(x)[1], x.square().sum(), x)


def test_unit_rows_and_sum_of_squares_divide_short_rows_by_the_shortest(float64: None) -> None:
    x = torch.tensor([[3e-9, 4e-9], [3.0, 4.0]])
    unit, squares = unit_rows_and_sum_of_squares(x, 1e-8)
    torch.testing.assert_close(unit, F.normalize(x, eps=1e-8))
    torch.testing.assert_close(squares, x.square().sum())
