import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prismrec.nn import bpr, bpr_and_norms, bpr_and_squares, half_squares, hinge, mean_norms, sum_of_squares
from prismrec.testing import default_dtype

import plain


@given(batch=st.integers(1, 6), width=st.integers(1, 4), dtype=plain.DTYPES)
@settings(max_examples=20, deadline=None)
def test_losses_and_regularisers_equal_their_formulas(batch: int, width: int, dtype: torch.dtype) -> None:
    with default_dtype(dtype):
        u, i, j = (
            plain.random_rows(batch, width),
            plain.random_rows(batch, width, seed=1),
            plain.random_rows(batch, width, seed=2),
        )
        margins = torch.stack([u[b] @ i[b] - u[b] @ j[b] for b in range(batch)])
        plain.assert_same(bpr(u, i, j), -torch.log(1 / (1 + torch.exp(-margins))).mean(), u, i, j)
        plain.assert_same(hinge(u, i, j), torch.where(margins < 1, 1 - margins, 0).mean(), u, i, j)
        squares = sum(rows[b] @ rows[b] for rows in (u, i, j) for b in range(batch))
        plain.assert_same(sum_of_squares(u, i, j), squares, u, i, j)
        plain.assert_same(half_squares(u, i, j), squares / 2 / batch, u, i, j)
        norms = sum(sum(rows[b] @ rows[b] for b in range(batch)) ** 0.5 for rows in (u, i, j))
        plain.assert_same(mean_norms(u, i, j), norms / batch, u, i, j)


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_loss_and_regulariser_together_equal_the_separate_ones(dtype: torch.dtype) -> None:
    with default_dtype(dtype):
        users, items = plain.random_rows(5, 3), plain.random_rows(10, 3, seed=1)
        positives, negatives = items.split(5)
        loss = bpr(users, positives, negatives)
        with_squares = torch.stack([loss, half_squares(users, positives, negatives)])
        plain.assert_same(torch.stack(bpr_and_squares(users, items)), with_squares, users, items)
        with_norms = torch.stack([loss, mean_norms(users, positives, negatives)])
        plain.assert_same(torch.stack(bpr_and_norms(users, items)), with_norms, users, items)


def test_a_very_wrong_ranking_costs_its_margin_and_has_a_gradient() -> None:
    users = torch.tensor([[1e4]], requires_grad=True)
    loss = bpr(users, torch.tensor([[-1.0]]), torch.tensor([[1.0]]))
    assert loss == 2e4
    assert torch.autograd.grad(loss, users)[0] == 2
    assert bpr(users, torch.tensor([[1.0]]), torch.tensor([[-1.0]])) == 0


def test_equal_scores_cost_the_logarithm_of_two() -> None:
    rows = torch.ones(3, 2)
    assert bpr(rows, rows, rows).item() == pytest.approx(torch.tensor(2.0).log().item())


def test_the_norm_of_zero_rows_has_a_gradient_of_zero() -> None:
    rows = torch.zeros(3, 2, requires_grad=True)
    assert not torch.autograd.grad(mean_norms(rows), rows)[0].any()


def test_repeating_a_batch_keeps_the_squares_and_shrinks_the_norms() -> None:
    rows = plain.random_rows(4, 3).detach()
    twice = rows.repeat(2, 1)
    torch.testing.assert_close(half_squares(twice), half_squares(rows))
    torch.testing.assert_close(mean_norms(twice), mean_norms(rows) / 2**0.5)
