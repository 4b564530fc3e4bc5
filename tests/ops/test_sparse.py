from collections.abc import Callable
from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from prismrec.ops import SparseMatrix, sampled_product, sparse
from prismrec.testing import default_dtype
from prismrec.types import Interactions

import plain


def weighted(train: Interactions) -> csr_matrix:
    """The pattern of the pairs, with a different value in each entry."""
    matrix = train.csr.astype(np.float64)
    matrix.data = np.linspace(-1, 2, matrix.nnz)
    return matrix


@given(train=plain.odd_graphs(), dtype=plain.DTYPES)
@settings(max_examples=30, deadline=None)
def test_products_equal_those_of_the_dense_matrix(train: Interactions, dtype: torch.dtype) -> None:
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
def test_products_of_large_matrices_equal_those_of_the_dense_matrix(
    width: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large matrices use the compiled kernel; here the limit is lowered to a single entry."""
    monkeypatch.setattr(sparse, "_COMPILED_FROM", 1)
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


@pytest.mark.parametrize("build", [SparseMatrix.from_even_rows, SparseMatrix._from_even_rows_on_gpu])
@pytest.mark.parametrize(("rows", "k", "columns"), [(5, 3, 4), (3, 2, 9), (1, 1, 1), (4, 0, 2)])
def test_from_even_rows_builds_the_listed_entries(
    build: Callable[[Tensor, Tensor, int], SparseMatrix], rows: int, k: int, columns: int
) -> None:
    """On a CPU and in the way of a GPU; a column that a row lists twice counts twice."""
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


@pytest.mark.parametrize("column", [-1, 4, 2**40])
def test_from_even_rows_refuses_a_column_out_of_range(column: int) -> None:
    with pytest.raises(ValueError, match=r"column numbers .* are not within 0\.\.3"):
        SparseMatrix.from_even_rows(torch.tensor([[0, 1], [2, column]]), torch.ones(2, 2), 4)


def test_an_invalid_matrix_is_refused() -> None:
    """Column numbers out of range, and offsets that do not ascend to the number of entries."""
    wrong_column = csr_matrix(np.eye(3))
    wrong_column.indices[1] = 7
    negative_column = csr_matrix(np.eye(3))
    negative_column.indices[1] = -1
    wrong_offsets = csr_matrix(np.eye(3))
    wrong_offsets.indptr[1] = 3
    for matrix in (wrong_column, negative_column, wrong_offsets):
        with pytest.raises(ValueError, match=r"index|indices|indptr"):
            SparseMatrix(matrix)


@given(train=plain.odd_graphs(), dtype=plain.DTYPES, transposed=st.booleans())
@settings(max_examples=30, deadline=None)
def test_a_product_with_other_values_is_differentiable_in_values_and_operand(
    train: Interactions, dtype: torch.dtype, transposed: bool
) -> None:
    with default_dtype(dtype):
        matrix, values = SparseMatrix(train.csr), plain.random_rows(len(train), seed=1)
        x = plain.random_rows(train.num_users if transposed else train.num_items, 3)
        entries = torch.from_numpy(train.users).long(), torch.from_numpy(train.items).long()
        full = torch.zeros(train.num_users, train.num_items).index_put(entries, values)
        found = matrix.weighted(values, x, transposed=transposed)
        plain.assert_same(found, (full.T if transposed else full) @ x, values, x)
        constant = matrix.with_values(values.detach())
        torch.testing.assert_close(constant.transposed(x) if transposed else constant(x), found)


class TwoMatrices(nn.Module):
    """Two matrices with one pattern, as in a model."""

    def __init__(self) -> None:
        super().__init__()
        self.first = SparseMatrix(csr_matrix(np.arange(6.0).reshape(2, 3)))
        self.second = self.first.with_values(self.first.values + 1)


def assert_one_pattern(first: SparseMatrix, second: SparseMatrix) -> None:
    assert first.pattern is second.pattern
    assert first.indices.data_ptr() == second.indices.data_ptr()
    assert first.values.data_ptr() != second.values.data_ptr() or first.values.is_meta


def test_with_values_shares_the_pattern_also_after_a_copy_or_a_move() -> None:
    model = TwoMatrices()
    assert_one_pattern(model.first, model.second)
    copied = deepcopy(model)
    assert_one_pattern(copied.first, copied.second)
    assert copied.first.pattern is not model.first.pattern
    moved = model.double().to("meta")
    assert_one_pattern(moved.first, moved.second)
    assert moved.first.indices.is_meta
    assert moved.second.values.is_meta
    assert not copied.first.indices.is_meta


@given(train=plain.odd_graphs(), dtype=plain.DTYPES)
@settings(max_examples=20, deadline=None)
def test_the_sampled_product_equals_the_entries_of_the_dense_product(train: Interactions, dtype: torch.dtype) -> None:
    with default_dtype(dtype):
        left, right = plain.random_rows(train.num_users, 3), plain.random_rows(train.num_items, 3)
        found = sampled_product(SparseMatrix(train.csr), left, right)
        plain.assert_same(found, (left @ right.T)[train.users.astype(np.int64), train.items], left, right)


@pytest.mark.usefixtures("float64")
def test_the_transposed_product_is_the_adjoint_of_the_product() -> None:
    train = Interactions.from_pairs([0, 0, 2, 3], [1, 2, 0, 1], 5, 4)
    matrix = SparseMatrix(weighted(train))
    users, items = plain.random_rows(5, 2), plain.random_rows(4, 2)
    torch.testing.assert_close((users * matrix(items)).sum(), (matrix.transposed(users) * items).sum())


@pytest.mark.usefixtures("float64")
def test_gradients_that_are_not_contiguous_are_accepted() -> None:
    train = Interactions.from_pairs([0, 0, 1], [1, 2, 0], 2, 3)
    items = plain.random_rows(3, 4)
    matrix, full = SparseMatrix(train.csr), plain.dense(train)
    expanded = torch.autograd.grad(matrix(items).sum(), items)  # the gradient of a sum is one number, expanded
    torch.testing.assert_close(expanded, torch.autograd.grad((full @ items).sum(), items))
    transposed = torch.autograd.grad((matrix(items).T @ torch.ones(2, 3)).square().sum(), items)
    expected = torch.autograd.grad(((full @ items).T @ torch.ones(2, 3)).square().sum(), items)
    torch.testing.assert_close(transposed, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("matrix", [csr_matrix((4, 3)), csr_matrix(np.diag([1.0, 0, 2]))])
def test_the_product_does_not_depend_on_uninitialised_memory(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, matrix: csr_matrix
) -> None:
    """For a matrix without entries and one with an empty row; fresh memory holds NaN."""
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda self, size: self.new_full(size, torch.nan))
    rows = plain.random_rows(3, 2).detach().to(dtype)
    found = SparseMatrix(matrix).to(dtype)(rows)
    torch.testing.assert_close(found, torch.as_tensor(matrix.toarray()).to(dtype) @ rows)


def test_columns_may_be_unsorted() -> None:
    unsorted = csr_matrix((np.array([1.0, 2.0, 3.0]), np.array([2, 0, 1]), np.array([0, 2, 3])), shape=(2, 3))
    matrix = SparseMatrix(unsorted)
    assert matrix.values.tolist() == [2, 1, 3]
    torch.testing.assert_close(matrix(torch.eye(3)), torch.tensor([[2.0, 0, 1], [0, 3, 0]]))
    assert unsorted.indices.tolist() == [2, 0, 1]  # the argument is not changed
    assert matrix.rows.tolist() == [0, 0, 1]


def test_the_sampled_product_does_not_copy_rows() -> None:
    pairs = np.argwhere(np.ones((20, 15)))
    train = Interactions.from_pairs(pairs[:, 0], pairs[:, 1], 20, 15)
    matrix, left, right = SparseMatrix(train.csr), plain.random_rows(20, 4), plain.random_rows(15, 4)
    with torch.no_grad(), plain.LargestTensor() as largest:
        sampled_product(matrix, left, right)
    assert largest.entries <= len(train)


def test_a_matrix_too_large_for_32_bit_indices_is_refused() -> None:
    with pytest.raises(ValueError, match="32-bit"):
        SparseMatrix(csr_matrix((1, 2**31)))  # a tall one takes 16 GiB


def test_a_matrix_is_not_saved_with_the_weights_and_follows_the_model_to_another_type() -> None:
    matrix = SparseMatrix(csr_matrix(np.eye(3)))
    assert not matrix.state_dict()
    rows = torch.ones(3, 2, dtype=torch.float64)
    assert matrix.double()(rows).dtype == matrix.transposed(rows).dtype == torch.float64
