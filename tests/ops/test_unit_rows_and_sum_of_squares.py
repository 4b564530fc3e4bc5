import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.ops.rows import unit_rows_and_sum_of_squares

import plain


@pytest.mark.parametrize("with_zeros", [False, True])
def test_values_and_gradient_equal_the_plain_forms(float64: None, with_zeros: bool) -> None:
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


def test_a_loss_may_read_one_of_the_results_alone(float64: None) -> None:
    x = plain.random_rows(5, 3)
    plain.assert_same(unit_rows_and_sum_of_squares(x)[0], F.normalize(x), x)
    plain.assert_same(unit_rows_and_sum_of_squares(x)[1], x.square().sum(), x)


def test_a_row_shorter_than_the_shortest_is_divided_by_that(float64: None) -> None:
    x = torch.tensor([[3e-9, 4e-9], [3.0, 4.0]])
    unit, squares = unit_rows_and_sum_of_squares(x, 1e-8)
    torch.testing.assert_close(unit, F.normalize(x, eps=1e-8))
    torch.testing.assert_close(squares, x.square().sum())
