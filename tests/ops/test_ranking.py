import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.ops.ranking import bpr_with_penalty, frobenius_norms
from prismrec.testing import default_dtype

import plain

ROWS = torch.tensor([3, 3, 0]), torch.tensor([4, 1, 1, 0, 2, 4])


def dense_terms(users: Tensor, items: Tensor, norms: bool) -> Tensor:
    """The loss and the penalty from their formulas, with one row of users per triplet."""
    batch = len(users)
    positives, negatives = items.split(batch)
    loss = -F.logsigmoid((users * (positives - negatives)).sum(1)).mean()
    if norms:
        return torch.stack([loss, (users.norm() + positives.norm() + negatives.norm()) / batch])
    squares = users.square().sum() + positives.square().sum() + negatives.square().sum()
    return torch.stack([loss, squares / 2 / batch])


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("batch", "width"), [(1, 1), (5, 3), (40, 17)])
@pytest.mark.parametrize("norms", [False, True])
def test_loss_and_penalty_equal_their_formulas(norms: bool, batch: int, width: int, dtype: torch.dtype) -> None:
    with default_dtype(dtype):
        users, items = plain.random_rows(batch, width), plain.random_rows(2 * batch, width, seed=1)
        found = torch.stack(bpr_with_penalty(users, items, None, norms=norms, sparse_grad=False))
        plain.assert_same(found, dense_terms(users, items, norms), users, items)


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("sparse_grad", [False, True])
@pytest.mark.parametrize("are_weights", [False, True])
@pytest.mark.parametrize("norms", [False, True])
def test_rows_of_matrices_give_the_same_as_copies_of_the_rows(
    norms: bool, are_weights: bool, sparse_grad: bool
) -> None:
    users, items = plain.random_rows(4, 3), plain.random_rows(5, 3, seed=1)
    read_users, read_items = (users, items) if are_weights else (users * 2, items * 2)
    found = torch.stack(bpr_with_penalty(read_users, read_items, ROWS, norms=norms, sparse_grad=sparse_grad))
    copies = bpr_with_penalty(read_users[ROWS[0]], read_items[ROWS[1]], None, norms=norms, sparse_grad=False)
    plain.assert_same(found, torch.stack(copies), users, items)


@pytest.mark.parametrize("sparse_grad", [False, True])
def test_weights_get_a_sparse_gradient_from_the_kernels_only_if_allowed(implementation: str, sparse_grad: bool) -> None:
    users, items = plain.random_rows(4, 3), plain.random_rows(5, 3, seed=1)
    loss, _ = bpr_with_penalty(users, items, ROWS, norms=False, sparse_grad=sparse_grad)
    grad_users, grad_items = torch.autograd.grad(loss, (users, items))
    expected = sparse_grad and implementation == "compiled"
    assert grad_users.is_sparse == grad_items.is_sparse == expected


@pytest.mark.usefixtures("implementation")
def test_the_norm_of_zero_rows_has_a_gradient_of_zero() -> None:
    rows = torch.zeros(3, 2, requires_grad=True)
    loss, penalty = bpr_with_penalty(rows, rows.repeat(2, 1), None, norms=True, sparse_grad=False)
    assert not torch.autograd.grad(loss + penalty, rows)[0].any()
    assert not torch.autograd.grad(frobenius_norms(rows).sum(), rows)[0].any()


def test_frobenius_norms_equal_those_of_pytorch() -> None:
    first, second = plain.random_rows(4, 3), plain.random_rows(2, 7)
    plain.assert_same(frobenius_norms(first, second), torch.stack([first.norm(), second.norm()]), first, second)
