import pytest
import torch
import torch.nn.functional as F

from prismrec.ops.rows import unit_rows

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize("shape", [(7, 4), (3, 2, 5), (4, 1)])
def test_value_and_gradient_are_those_of_pytorch(shape: tuple[int, ...]) -> None:
    x, weights = torch.randn(shape, requires_grad=True), torch.randn(shape)
    found, expected = unit_rows(x), F.normalize(x, dim=-1)
    torch.testing.assert_close(found, expected)
    gradient = torch.autograd.grad((expected * weights).sum(), x)
    torch.testing.assert_close(torch.autograd.grad((found * weights).sum(), x), gradient)


def test_a_row_of_zeros_stays_zero() -> None:
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    torch.testing.assert_close(unit_rows(x), torch.tensor([[0.0, 0.0], [0.6, 0.8]]))


def test_a_row_shorter_than_the_shortest_is_divided_by_that() -> None:
    x = torch.tensor([[3e-9, 4e-9], [3.0, 4.0]])
    torch.testing.assert_close(unit_rows(x, 1e-8), F.normalize(x, eps=1e-8))
