"""Adam's step for a table in which few rows have a gradient, and for weights with a gradient of zero for many steps.

A gradient of zero still moves a weight, by momentum. After step t with moments m and v, s further steps r = 1..s with a
gradient of zero move a weight by

    -m Σ_r a_r / (b_r √v + ε),   a_r = η β₁^r / (1 - β₁^(t+r)),   b_r = √(β₂^r / (1 - β₂^(t+r))),

a sum over s points b_r with masses a_r. Gauss quadrature replaces it by a sum over a few other points.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from prismrec.ops import _kernels
from prismrec.ops.device import block_entries

BETAS = (0.9, 0.999)
"""β₁ and β₂, the defaults of PyTorch."""
EPSILON = 1e-8
"""ε, the default of PyTorch."""
_ACCURACY = 1e-10
"""Relative error allowed to the quadrature."""
_WEIGHTS_AT_ONCE = 1 << 18
"""Weights moved at once on a CPU, so that intermediate results fit a core's cache."""

_Float64Array = npt.NDArray[np.float64]


class Moments(NamedTuple):
    """The state of Adam for one weight, by PyTorch's names."""

    exp_avg: Tensor  # m
    exp_avg_sq: Tensor  # v
    step: Tensor  # t, a float32 scalar


def can_step_by_rows(weight: Tensor) -> bool:
    """Whether `step_by_rows` is available for this weight."""
    return _kernels.usable(weight)


def step_by_rows(weight: Tensor, moments: Moments, gradient: Tensor, lr: float, weight_decay: float) -> None:
    """Adam's step with a sparse gradient, in place and in one pass over the table.

    Args:
        weight: θ `[n, d]`.
        moments: m and v `[n, d]`, t.
        gradient: a sparse tensor `[n, d]`; gradients of repeated rows add up.
        lr: η.
        weight_decay: an L2 penalty, added to the gradient of all rows.
    """
    _kernels.adam(
        weight,
        moments.exp_avg,
        moments.exp_avg_sq,
        gradient._indices()[0],
        gradient._values(),
        step=int(moments.step) + 1,
        lr=lr,
        betas=BETAS,
        epsilon=EPSILON,
        weight_decay=weight_decay,
    )
    moments.step.add_(1)


def step_with_zero_gradients(weight: Tensor, moments: Moments, steps: int, lr: float) -> None:
    """Several steps of Adam with a gradient of zero and without weight decay, all at once and in place.

    Args:
        weight: θ.
        moments: m and v of the shape of θ, t.
        steps: s.
        lr: η.
    """
    points, masses = _quadrature(float(moments.step), steps, lr)
    size = block_entries(weight, _WEIGHTS_AT_ONCE)
    weights = weight.view(-1).split(size)
    means = moments.exp_avg.view(-1).split(size)
    squares = moments.exp_avg_sq.view(-1).split(size)
    for block, mean, square in zip(weights, means, squares, strict=True):
        root = square.sqrt()
        factor = torch.zeros_like(root)
        for point, mass in zip(points.tolist(), masses.tolist(), strict=True):
            factor += (root * point).add_(EPSILON).reciprocal_().mul_(mass)
        block.addcmul_(mean, factor, value=-1)
    moments.exp_avg.mul_(BETAS[0] ** steps)
    moments.exp_avg_sq.mul_(BETAS[1] ** steps)
    moments.step.add_(steps)


def _quadrature(step: float, steps: int, lr: float) -> tuple[_Float64Array, _Float64Array]:
    """A few points and masses that replace b_r and a_r, for `steps` steps after step number `step`."""
    r = np.arange(1.0, steps + 1)
    masses = lr * BETAS[0] ** r / (1 - BETAS[0] ** (step + r))
    points = np.sqrt(BETAS[1] ** r / (1 - BETAS[1] ** (step + r)))
    # The quadrature of 1 / (b x + ε) is least accurate for large x = √v, where the function tends to 1 / (b x).
    exact = (masses / points).sum()
    for count in range(1, steps + 1):
        nodes, weights = _gauss(points, masses, count)
        if abs((weights / nodes).sum() - exact) <= _ACCURACY * exact:
            return nodes, weights
    return points, masses


def _gauss(points: _Float64Array, masses: _Float64Array, count: int) -> tuple[_Float64Array, _Float64Array]:
    """The `count` nodes and weights that integrate polynomials up to degree 2 count - 1 exactly.

    Golub and Welsch, 1969: the nodes are the eigenvalues of the Jacobi matrix, which the Lanczos process builds.
    """
    basis = np.zeros((count, len(points)))
    diagonal, off_diagonal = np.zeros(count), np.zeros(count)
    vector = np.sqrt(masses)
    for n in range(count):
        vector -= basis.T @ (basis @ vector)
        vector -= basis.T @ (basis @ vector)  # a second time, against rounding
        off_diagonal[n] = np.linalg.norm(vector)
        basis[n] = vector / off_diagonal[n]
        vector = points * basis[n]
        diagonal[n] = vector @ basis[n]
    jacobi = np.diag(diagonal) + np.diag(off_diagonal[1:], 1) + np.diag(off_diagonal[1:], -1)
    nodes, vectors = np.linalg.eigh(jacobi)
    return nodes, masses.sum() * vectors[0] ** 2
