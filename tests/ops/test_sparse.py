from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from torch import Tensor

from prismrec.graph import SparseMatrix, sampled_product, sparse
from prismrec.testing import default_dtype
from prismrec.types import Interactions

import plain


def weighted(train: Interactions) -> csr_matrix:
    """The pattern of the pairs, with a different value in each place."""
    matrix = train.csr.astype(np.float64)
    matrix.data = np.linspace(-1, 2, matrix.nnz)
    return matrix


@given(train=plain.odd_graphs(), dtype=plain.DTYPES)
@settings(max_examples=30, deadline=None)
def test_both_products_are_those_of_the_dense_matrix_in_value_and_gradient(
    train: Interactions, dtype: torch.dtype
) -> None:
    with default_dtype(dtype):
        matrix = SparseMatrix(weighted(train))
        full = torch.as_tensor(weighted(train).toarray()).to(dtype)
        items, users = plain.random_rows(train.num_items, 3), plain.random_rows(train.num_users, 3)
        plain.assert_same(matrix(items), full @ items, items)
        plain.assert_same(matrix.transposed(users), full.T @ users, users)
        torch.testing.assert_close(matrix.add_product(users, items), users + full @ items)
        torch.testing.assert_close(matrix.add_product(items, users, transposed=True), items + full.T @ users)
        scaled = matrix.add_product(users, items, scale=0.3)
        torch.testing.assert_close(scaled, 0.3 * (users + full @ items))
        assert matrix(items).dtype == dtype


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", [1, 4, 39, 200])
def test_a_product_with_many_entries_is_that_of_the_dense_matrix_in_value_and_gradient(
    width: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sparse, "_MANY", 1)
    rng = np.random.default_rng(0)
    full = np.where(rng.random((40, 23)) < rng.random((40, 1)), rng.standard_normal((40, 23)), 0)
    full[[0, 7, 39]] = 0
    with default_dtype(dtype):
        matrix, dense = SparseMatrix(csr_matrix(full)), torch.as_tensor(full).to(dtype)
        x, y = plain.random_rows(23, width), plain.random_rows(40, width)
        plain.assert_same(matrix(x), dense @ x, x)
        plain.assert_same(matrix.transposed(y), dense.T @ y, y)
        strided = torch.stack([matrix.values, matrix.values], 1)[:, 0]
        plain.assert_same(matrix.weighted(strided, x), dense @ x, x)


@pytest.mark.parametrize("build", [SparseMatrix.from_even_rows, SparseMatrix._without_host])
@pytest.mark.parametrize(("rows", "k", "columns"), [(5, 3, 4), (3, 2, 9), (1, 1, 1), (4, 0, 2)])
def test_rows_of_equal_length_make_the_matrix_that_they_list(
    build: Callable[[Tensor, Tensor, int], SparseMatrix], rows: int, k: int, columns: int
) -> None:
    """As on a CPU and as on a GPU; what a row names twice counts twice."""
    generator = torch.Generator().manual_seed(0)
    indices = torch.randint(columns, (rows, k), generator=generator)
    values = torch.randn(rows, k, generator=generator)
    full = torch.zeros(rows, columns).scatter_add_(1, indices, values)
    matrix, x, y = build(indices, values, columns), torch.randn(columns, 2), torch.randn(rows, 2)
    assert matrix.shape == (rows, columns)
    torch.testing.assert_close(matrix(x), full @ x)
    torch.testing.assert_close(matrix.transposed(y), full.T @ y)
    other = torch.randn(rows * k, requires_grad=True)
    (gradient,) = torch.autograd.grad(matrix.weighted(other, x).sum(), other)
    listed = torch.cat([x.sum(1)[row] for row in matrix.indices.view(rows, -1).long()])
    torch.testing.assert_close(gradient, listed)


@given(train=plain.odd_graphs(), dtype=plain.DTYPES, transposed=st.booleans())
@settings(max_examples=30, deadline=None)
def test_a_product_with_other_values_is_differentiable_in_values_and_rows(
    train: Interactions, dtype: torch.dtype, transposed: bool
) -> None:
    with default_dtype(dtype):
        matrix, values = SparseMatrix(train.csr), plain.random_rows(len(train), seed=1)
        rows = plain.random_rows(train.num_users if transposed else train.num_items, 3)
        places = torch.from_numpy(train.users).long(), torch.from_numpy(train.items).long()
        full = torch.zeros(train.num_users, train.num_items).index_put(places, values)
        found = matrix.weighted(values, rows, transposed=transposed)
        plain.assert_same(found, (full.T if transposed else full) @ rows, values, rows)
        constant = matrix.with_values(values.detach())
        torch.testing.assert_close(constant.transposed(rows) if transposed else constant(rows), found)


@given(train=plain.odd_graphs(), dtype=plain.DTYPES)
@settings(max_examples=20, deadline=None)
def test_the_sampled_product_is_the_dense_one_read_at_the_stored_places(
    train: Interactions, dtype: torch.dtype
) -> None:
    with default_dtype(dtype):
        left, right = plain.random_rows(train.num_users, 3), plain.random_rows(train.num_items, 3)
        found = sampled_product(SparseMatrix(train.csr), left, right)
        plain.assert_same(found, (left @ right.T)[train.users.astype(np.int64), train.items], left, right)


def test_the_product_is_self_adjoint_with_its_transpose(float64: None) -> None:
    train = Interactions.from_pairs([0, 0, 2, 3], [1, 2, 0, 1], 5, 4)
    matrix = SparseMatrix(weighted(train))
    users, items = plain.random_rows(5, 2), plain.random_rows(4, 2)
    torch.testing.assert_close((users * matrix(items)).sum(), (matrix.transposed(users) * items).sum())


def test_a_gradient_that_is_not_contiguous_is_taken(float64: None) -> None:
    train = Interactions.from_pairs([0, 0, 1], [1, 2, 0], 2, 3)
    items = plain.random_rows(3, 4)
    matrix, full = SparseMatrix(train.csr), plain.dense(train)
    expanded = torch.autograd.grad(matrix(items).sum(), items)  # the gradient of a sum is one number, expanded
    torch.testing.assert_close(expanded, torch.autograd.grad((full @ items).sum(), items))
    turned = torch.autograd.grad((matrix(items).T @ torch.ones(2, 3)).square().sum(), items)
    torch.testing.assert_close(turned, torch.autograd.grad(((full @ items).T @ torch.ones(2, 3)).square().sum(), items))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_was_in_memory_before_does_not_reach_the_product(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda self, size: self.new_full(size, torch.nan))
    for matrix in (csr_matrix((4, 3)), csr_matrix(np.diag([1.0, 0, 2]))):  # without entries, with an empty row
        rows = plain.random_rows(3, 2).detach()
        found = SparseMatrix(matrix).to(dtype)(rows.to(dtype))
        torch.testing.assert_close(found, torch.as_tensor(matrix.toarray()).to(dtype) @ rows.to(dtype))


def test_columns_may_come_unsorted() -> None:
    jumbled = csr_matrix((np.array([1.0, 2.0, 3.0]), np.array([2, 0, 1]), np.array([0, 2, 3])), shape=(2, 3))
    matrix = SparseMatrix(jumbled)
    assert matrix.values.tolist() == [2, 1, 3]
    torch.testing.assert_close(matrix(torch.eye(3)), torch.tensor([[2.0, 0, 1], [0, 3, 0]]))
    assert jumbled.indices.tolist() == [2, 0, 1]  # what was handed over stays as it was
    assert matrix.rows.tolist() == [0, 0, 1]


def test_gradients_of_values_gather_no_rows() -> None:
    pairs = np.argwhere(np.ones((20, 15)))
    train = Interactions.from_pairs(pairs[:, 0], pairs[:, 1], 20, 15)
    matrix, left, right = SparseMatrix(train.csr), plain.random_rows(20, 4), plain.random_rows(15, 4)
    with torch.no_grad(), plain.LargestTensor() as largest:
        sampled_product(matrix, left, right)
    assert largest.entries <= len(train)


def test_a_matrix_beyond_32_bits_is_refused() -> None:
    tall = csr_matrix((2**31, 1))
    with pytest.raises(ValueError, match="32-bit"):
        SparseMatrix(tall)


def test_it_is_no_part_of_the_weights_and_follows_the_model_to_another_dtype() -> None:
    matrix = SparseMatrix(csr_matrix(np.eye(3)))
    assert not matrix.state_dict()
    rows = torch.ones(3, 2, dtype=torch.float64)
    assert matrix.double()(rows).dtype == matrix.transposed(rows).dtype == torch.float64
