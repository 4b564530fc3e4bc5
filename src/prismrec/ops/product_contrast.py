"""InfoNCE between the rows of two matrix products G = H Λ, without forming the products.

<G_a, G'_c> = H_a (Λ Λ'ᵀ) H'_cᵀ. If A < d, an inner product costs A multiplications instead of d. LGMRec (Guo et al.,
AAAI 2024) contrasts hypergraphs in this way (Eq. 12): H holds the memberships of nodes in hyperedges.

Dropout leaves many nodes with a single membership, and many with none. A row of H with a single nonzero entry gives the
direction of a row of Λ, and the size of the entry does not matter. So each of these directions is computed once and
counts as often as it occurs.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from prismrec.ops.contrast import info_nce, info_nce_of_pairs
from prismrec.ops.rows import count_rows, take_rows

_SHORTEST = 1e-12
"""Shorter rows are divided by this instead of their length, as in torch.nn.functional.normalize."""
_DENORMAL = 1e-15
"""Entries below this become zero. Their products would be denormal numbers, which are slow on a CPU."""


class Product(NamedTuple):
    """The factors of G = H Λ `[n, d]`."""

    left: Tensor  # H [n, A], nonnegative
    right: Tensor  # Λ [A, d]


def info_nce_of_products(
    first: Product,
    second: Product,
    anchors: Tensor,
    weights: Tensor,
    temperature: float,
    candidates: int | None = None,
) -> Tensor:
    """Σ_a w_a (ln Σ_c exp(cos(G_a, G'_c) / τ) - cos(G_a, G'_a) / τ), with c over all rows; a scalar.

    Args:
        first: the factors of G, the view of the anchors.
        second: the factors of G', the view of the candidates, with as many rows.
        anchors: rows, int64 `[a]`.
        weights: constants w `[a]`.
        temperature: τ.
        candidates: number of rows drawn uniformly to estimate the sum over candidates; None uses all rows.
    """
    left = take_rows(first.left, anchors)  # [a, A]
    other_left = second.left  # [n, A]
    if candidates is not None and candidates < len(other_left):
        sample = torch.randperm(len(other_left), device=left.device)[:candidates].sort().values
        rows, columns = _unit_factors(Product(left, first.right), second)
        return info_nce(rows, columns, anchors, temperature, weights, cosines=True, sample=sample)
    if not left.is_cpu:  # merging directions would make the host wait for the GPU
        rows, columns = _unit_factors(Product(left, first.right), second)
        return info_nce(rows, columns, anchors, temperature, weights, cosines=True)
    left, anchor_of = _merge_directions(left, first.right)
    other_left, candidate_of = _merge_directions(other_left, second.right)
    rows, columns = _unit_factors(Product(left, first.right), Product(other_left, second.right))
    counts = count_rows(candidate_of, len(columns)).to(columns)
    return info_nce_of_pairs(
        rows, columns, anchor_of, candidate_of[anchors], temperature, weights=weights, counts=counts, cosines=True
    )


def _merge_directions(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of H with distinct directions of G `[n', A]`, and the position of each original row among them `[n]`.

    The last A + 1 rows are the unit vectors and the zero vector. Merged rows have no gradient: the length of a row does
    not change its direction, and a zero row passes no gradient on.
    """
    columns = left.shape[1]
    nonzeros = (left != 0).sum(1)  # [n]
    largest = left.detach().max(1)
    norms = torch.linalg.vector_norm(right.detach(), dim=1)  # ‖Λ_h‖ [A]
    length = largest.values * norms[largest.indices]  # ‖G_a‖ of rows with one nonzero [n]
    merged = (nonzeros == 0) | ((nonzeros == 1) & (length > _SHORTEST))  # [n]
    kept = (~merged).nonzero().squeeze(1)  # [n' - A - 1]
    position = len(kept) + torch.where(nonzeros == 0, columns, largest.indices)  # [n]
    position[kept] = torch.arange(len(kept), device=kept.device)
    unit_vectors = torch.eye(columns + 1, columns, dtype=left.dtype, device=left.device)
    return torch.cat([left.index_select(0, kept), unit_vectors]), position


def _unit_factors(first: Product, second: Product) -> tuple[Tensor, Tensor]:
    """X and Y such that X Yᵀ holds the cosines of all rows of G with all rows of G'."""
    inverse = _InverseNorms.apply(first.left, first.right)  # [n, 1]
    other_inverse = _InverseNorms.apply(second.left, second.right)
    if first.right.shape[0] < first.right.shape[1]:
        rows = first.left @ (first.right @ second.right.T)  # [n, A]
        columns = second.left
    else:
        rows = first.left @ first.right  # [n, d]
        columns = second.left @ second.right
    return _flush_tiny_values(rows * inverse), _flush_tiny_values(columns * other_inverse)


def _flush_tiny_values(x: Tensor) -> Tensor:
    """x with tiny values set to zero; the gradient is that of x. A GPU computes with denormal numbers at full speed."""
    if not x.is_cpu:
        return x
    values = x.detach()
    return x - values * (values.abs() < _DENORMAL)


class _InverseNorms(torch.autograd.Function):
    """1 / ‖H Λ‖ for every row `[n, 1]`, as 1 / √(H (Λ Λᵀ) Hᵀ), in double precision because the sum may cancel.

    With k = H Λ Λᵀ and r the result, ∂r/∂H = -r³ k. A row shorter than `_SHORTEST` has no gradient.
    """

    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor) -> Tensor:
        left_double = left.double()
        right_double = right.double()
        products = left_double @ (right_double @ right_double.T)  # k [n, A]
        squares = (products * left_double).sum(1, keepdim=True)  # ‖H Λ‖² [n, 1]
        inverse = squares.clamp(min=_SHORTEST**2).rsqrt()
        slopes = torch.where(squares > _SHORTEST**2, inverse**3, 0)
        ctx.save_for_backward(left, right, products.to(left), slopes.to(left))
        return inverse.to(left)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        left, right, products, slopes = ctx.saved_tensors
        weights = grad * -slopes  # [n, 1]
        grad_left = weights * products  # [n, A]
        grad_right = ((weights * left).T @ left) @ right  # [A, d]
        return grad_left, grad_right
