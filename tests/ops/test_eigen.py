"""The block eigensolver beside dense decompositions."""

import numpy as np
import pytest
import torch
from torch import Tensor

from prismrec.ops.eigen import DENSE_UP_TO, largest_eigenpairs

from plain import LargestTensor


def symmetric(size: int, seed: int = 0) -> Tensor:
    """A matrix with a flat, indefinite spectrum and some large eigenvalues."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((size, size)) / size**0.5
    strong = np.linalg.qr(rng.standard_normal((size, min(size, 12))))[0]
    matrix = (noise + noise.T) / 2 + strong * np.linspace(2, 6, strong.shape[1]) @ strong.T
    return torch.from_numpy(matrix).float()


@pytest.mark.parametrize("size", [3, 100, DENSE_UP_TO, 700])
def test_the_eigenpairs_are_those_of_the_dense_decomposition(size: int) -> None:
    matrix = symmetric(size)
    values, vectors = largest_eigenpairs(lambda x: matrix @ x, torch.empty(size, 0), 10)
    expected = torch.linalg.eigvalsh(matrix).flip(0)[:10]
    torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(len(values)), rtol=0, atol=1e-4)
    residuals = torch.linalg.vector_norm(matrix @ vectors - vectors * values, dim=0)
    assert residuals.max() <= 2e-3 * expected[0].abs()


@pytest.mark.parametrize("seed", range(10))
def test_eigenvectors_of_many_equal_eigenvalues_span_their_space(seed: int) -> None:
    """The Krylov space is exhausted after one product: the blocks that follow are rounding errors."""
    basis = torch.linalg.qr(torch.randn(600, 8, generator=torch.Generator().manual_seed(seed))).Q
    values, vectors = largest_eigenpairs(lambda x: basis @ (basis.T @ x), torch.empty(600, 0), 8)
    torch.testing.assert_close(values, torch.ones(8))
    torch.testing.assert_close(basis @ (basis.T @ vectors), vectors, rtol=0, atol=1e-3)


def test_the_zero_operator_has_zero_eigenvalues() -> None:
    values, vectors = largest_eigenpairs(torch.zeros_like, torch.empty(600, 0), 4)
    torch.testing.assert_close(values, torch.zeros(4))
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(4), rtol=0, atol=1e-5)


def test_the_result_is_a_function_of_the_operator_with_fixed_signs() -> None:
    matrix = symmetric(700)
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        results.append(largest_eigenpairs(lambda x: matrix @ x, torch.empty(700, 0), 5))
    assert torch.equal(results[0][1], results[1][1])
    vectors = results[0][1]
    assert (vectors.gather(0, vectors.abs().argmax(0, keepdim=True)) > 0).all()


def test_a_start_near_the_solution_saves_products() -> None:
    matrix = symmetric(700)
    products = []

    def operator(x: Tensor) -> Tensor:
        products.append(x.shape[1])
        return matrix @ x

    _, vectors = largest_eigenpairs(operator, torch.empty(700, 0), 30)
    cold = len(products)
    products.clear()
    largest_eigenpairs(operator, vectors, 30)
    assert len(products) < cold


def test_no_square_matrix_is_built_above_the_dense_size() -> None:
    size = 4000
    diagonal = torch.linspace(0, 1, size)[:, None] ** 8
    with LargestTensor() as largest:
        largest_eigenpairs(lambda x: diagonal * x, torch.empty(size, 0), 16)
    assert largest.entries < size * 16 * 10
