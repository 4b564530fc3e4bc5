"""The largest eigenpairs of a symmetric operator that is only known through its products.

Randomised block Krylov iteration (Musco and Musco, NeurIPS 2015) with restarts: one product with a block of vectors
reads the matrix once for all of them, where Lanczos iteration reads it once per vector.
"""

from collections.abc import Callable

import torch
from torch import Tensor

DENSE_UP_TO = 512
"""The largest size for which the whole matrix is computed and decomposed."""
_DEPTH = 5
"""Blocks of the Krylov basis."""
_OVERSAMPLING = 8
"""Vectors in a block beyond those asked for; they speed up the convergence of the last ones."""
_TOLERANCE = 5e-3
"""Largest length of a residual M v - λ v, relative to the largest eigenvalue."""
_MAX_RESTARTS = 20

Operator = Callable[[Tensor], Tensor]
"""A symmetric matrix M `[n, n]` as the map from x `[n, c]` to M x."""


@torch.no_grad()
def largest_eigenpairs(operator: Operator, like: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k algebraically largest eigenvalues in descending order and their unit eigenvectors.

    The result is a function of the operator alone: the random start has a fixed seed, and the entry of largest
    magnitude of every eigenvector is positive.

    Args:
        operator: M.
        like: a block of vectors `[n, c]` to start from, such as the eigenvectors of a similar operator; `[n, 0]` starts
            from random ones. The result has its type and device.
        k: number of eigenpairs; at most n are found.

    Returns:
        Λ `[k]` and V `[n, k]`.
    """
    size = len(like)
    k = min(k, size)
    width = min(k + _OVERSAMPLING, size)
    if size <= max(DENSE_UP_TO, width * _DEPTH):
        values, vectors = torch.linalg.eigh(operator(torch.eye(size, dtype=like.dtype, device=like.device)))
        return values.flip(0)[:k], _with_fixed_signs(vectors.flip(1)[:, :k])
    block = _start(like, width)
    for _ in range(_MAX_RESTARTS):
        values, block, residuals = _krylov_step(operator, block, k)
        if residuals <= _TOLERANCE * values[0].abs():
            break
    return values[:k], _with_fixed_signs(block[:, :k])


def _start(like: Tensor, width: int) -> Tensor:
    """The given vectors and random ones, `[n, width]`."""
    generator = torch.Generator().manual_seed(0)
    missing = max(width - like.shape[1], 0)
    noise = torch.randn(len(like), missing, generator=generator, dtype=like.dtype).to(like.device)
    return torch.cat([like[:, :width], noise], 1)


def _krylov_step(operator: Operator, block: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best approximations within span{B, M B, …, M^(D-1) B}, by Rayleigh and Ritz.

    Returns:
        Ritz values `[c]`, Ritz vectors `[n, c]`, and the largest length of a residual of the first k.
    """
    width = block.shape[1]
    basis = torch.linalg.qr(block).Q  # [n, c]
    images = operator(basis)  # [n, c]
    for _ in range(_DEPTH - 1):
        block = images[:, -width:]
        for _ in range(3):  # rounding leaves a share of the basis in a block that lies nearly within it
            block = torch.linalg.qr(block - basis @ (basis.T @ block)).Q
        basis = torch.cat([basis, block], 1)
        images = torch.cat([images, operator(block)], 1)
    projected = basis.T @ images  # [D c, D c]
    values, rotation = torch.linalg.eigh((projected + projected.T) / 2)
    values = values.flip(0)[:width]
    rotation = rotation.flip(1)[:, :width]  # [D c, c]
    vectors = basis @ rotation
    residuals = images @ rotation[:, :k] - vectors[:, :k] * values[:k]
    return values, vectors, torch.linalg.vector_norm(residuals, dim=0).max()


def _with_fixed_signs(vectors: Tensor) -> Tensor:
    largest = vectors.abs().argmax(0, keepdim=True)  # [1, k]
    return vectors * vectors.gather(0, largest).sign()
