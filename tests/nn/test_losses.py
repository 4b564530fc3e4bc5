from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from prismrec.nn import bpr, bpr_and_norms, bpr_and_squares, half_squares, mean_norms
from prismrec.testing import default_dtype

import plain


@given(batch=st.integers(1, 6), width=st.integers(1, 4), dtype=plain.DTYPES)
@settings(max_examples=20, deadline=None)
def test_values_and_gradients_are_those_of_the_formulas(batch: int, width: int, dtype: torch.dtype) -> None:
    with default_dtype(dtype):
        u, i, j = (plain.random_rows(batch, width, seed=seed) for seed in range(3))
        margins = torch.stack([u[b] @ i[b] - u[b] @ j[b] for b in range(batch)])
        plain.assert_same(bpr(u, i, j), -torch.log(1 / (1 + torch.exp(-margins))).mean(), u, i, j)
        squares = sum(rows[b] @ rows[b] for rows in (u, i, j) for b in range(batch))
        plain.assert_same(half_squares(u, i, j), squares / 2 / batch, u, i, j)
        norms = sum(sum(rows[b] @ rows[b] for b in range(batch)) ** 0.5 for rows in (u, i, j))
        plain.assert_same(mean_norms(u, i, j), norms / batch, u, i, j)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("batch", "width"), [(1, 1), (5, 3), (40, 17)])
def test_ranking_and_penalty_at_once_are_those_apart(
    implementation: str, batch: int, width: int, dtype: torch.dtype
) -> None:
    with default_dtype(dtype):
        users, items = plain.random_rows(batch, width), plain.random_rows(2 * batch, width, seed=1)
        ranked = users, *items.split(batch)
        for at_once, penalty in ((bpr_and_squares, half_squares), (bpr_and_norms, mean_norms)):
            plain.assert_same(
                torch.stack(at_once(users, items)), torch.stack([bpr(*ranked), penalty(*ranked)]), users, items
            )


@pytest.mark.parametrize("read_elsewhere", [True, False])
@pytest.mark.parametrize("leaf", [True, False])
@pytest.mark.parametrize("at_once", [bpr_and_squares, bpr_and_norms])
def test_rows_of_matrices_are_ranked_as_copies_of_them(
    implementation: str, at_once: Callable[..., tuple[Tensor, Tensor]], leaf: bool, read_elsewhere: bool
) -> None:
    users, items = plain.random_rows(4, 3), plain.random_rows(5, 3, seed=1)
    rows = torch.tensor([3, 3, 0]), torch.tensor([4, 1, 1, 0, 2, 4])
    matrices = (users, items) if leaf else (users * 2, items * 2)
    found = torch.stack(at_once(*matrices, rows, read_elsewhere=read_elsewhere))
    expected = torch.stack(at_once(matrices[0][rows[0]], matrices[1][rows[1]]))
    plain.assert_same(found, expected, users, items)


def test_ranking_hopelessly_wrong_costs_the_margin_and_still_has_a_gradient() -> None:
    users = torch.tensor([[1e4]], requires_grad=True)
    loss = bpr(users, torch.tensor([[-1.0]]), torch.tensor([[1.0]]))
    assert loss == 2e4
    assert torch.autograd.grad(loss, users)[0] == 2
    assert bpr(users, torch.tensor([[1.0]]), torch.tensor([[-1.0]])) == 0


def test_equal_scores_cost_the_logarithm_of_two() -> None:
    rows = torch.ones(3, 2)
    assert bpr(rows, rows, rows).item() == pytest.approx(torch.tensor(2.0).log().item())


def test_a_norm_of_nothing_has_no_gradient_rather_than_nan(implementation: str) -> None:
    rows = torch.zeros(3, 2, requires_grad=True)
    assert not torch.autograd.grad(mean_norms(rows), rows)[0].any()
    ranking, norms = bpr_and_norms(rows, rows.repeat(2, 1))
    assert not torch.autograd.grad(ranking + norms, rows)[0].any()


def test_repeating_a_batch_leaves_squares_and_shrinks_norms() -> None:
    rows = plain.random_rows(4, 3).detach()
    twice = rows.repeat(2, 1)
    torch.testing.assert_close(half_squares(twice), half_squares(rows))
    torch.testing.assert_close(mean_norms(twice), mean_norms(rows) / 2**0.5)
