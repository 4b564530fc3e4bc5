"""InfoNCE of cosines between the rows H̄ Λ of two hypergraphs (LGMRec, Eqs. 14-15), without ever forming these rows.

<G_a, G'_c> = H̄_a (Λ Λ'ᵀ) H̄'_cᵀ: with fewer hyperedges than dimensions the inner dimension is A instead of d. And a node
that is in one hyperedge alone points where all others point that are in it alone, however strong its membership.
Dropout leaves many such nodes, and many in none: they take part once, and count as often as they are.
"""

from typing import Any

import torch
from torch import Tensor

from prismrec.nn.contrast import info_nce
from prismrec.nn.merged_nce import merged_nce
from prismrec.nn.rows import occurrences, take_rows

_SHORTEST = 1e-12
"""A row that is shorter is not scaled to length 1, but by the reciprocal of this, as in PyTorch's normalize."""


def hyperedge_contrast(
    first: tuple[Tensor, Tensor],
    second: tuple[Tensor, Tensor],
    anchors: Tensor,
    weights: Tensor,
    temperature: float,
    candidates: int | None = None,
) -> Tensor:
    """Σ_a w_a (ln Σ_c exp(cos(G_a, G'_c) / τ) - cos(G_a, G'_a) / τ), c over all nodes.

    Args:
        first: memberships H̄ `[n, A]`, none negative, and messages Λ `[A, d]`, with G = H̄ Λ.
        second: H̄' `[n, A]` and Λ' `[A, d]`.
        anchors: nodes, int64 `[a]`.
        weights: constants w `[a]`.
        temperature: τ.
        candidates: so many nodes, drawn uniformly, stand for all but the anchor's own; None: no estimate.
    """
    (members, messages), (others, other_messages) = first, second
    members = take_rows(members, anchors)
    sampled = candidates is not None and candidates < len(others)
    merges = not sampled and members.is_cpu  # for a GPU's count of directions the host would have to wait
    if merges:
        members, anchor_places = _merge_directions(members, messages)
        others, places = _merge_directions(others, other_messages)
    rows, columns = _unit_factors(members, messages, others, other_messages)
    if not merges:
        sample = torch.randperm(len(others), device=others.device)[:candidates].sort().values if sampled else None
        return info_nce(rows, columns, anchors, temperature, weights, cosines=True, sample=sample)
    counts = occurrences(places, len(columns)).to(columns)
    return merged_nce(
        rows, columns, anchor_places, places[anchors], temperature, weights=weights, counts=counts, cosines=True
    )


def _merge_directions(members: Tensor, messages: Tensor) -> tuple[Tensor, Tensor]:
    """Memberships `[n', A]` of all directions, and which of them each node has `[n]`.

    The last A + 1 are a whole membership in each hyperedge, and none at all. What is merged has no gradient: the length
    of a row does not change its direction, and where dropout left nothing it lets no gradient through.
    """
    hyperedges = members.shape[1]
    present, strongest = (members != 0).sum(1), members.detach().max(1)
    reach = strongest.values * torch.linalg.vector_norm(messages.detach(), dim=1)[strongest.indices]
    merged = (present == 0) | ((present == 1) & (reach > _SHORTEST))  # [n]
    own = (~merged).nonzero().squeeze(1)
    places = len(own) + torch.where(present == 0, hyperedges, strongest.indices)
    places[own] = torch.arange(len(own), device=own.device)
    whole = torch.eye(hyperedges + 1, hyperedges, dtype=members.dtype, device=members.device)
    return torch.cat([members.index_select(0, own), whole]), places


def _unit_factors(members: Tensor, messages: Tensor, others: Tensor, other_messages: Tensor) -> tuple[Tensor, Tensor]:
    """Two matrices whose product X Yᵀ holds the cosines of all rows of H̄ Λ with all of H̄' Λ'."""
    inverse, other_inverse = _InverseNorms.apply(members, messages), _InverseNorms.apply(others, other_messages)
    if messages.shape[0] < messages.shape[1]:
        rows, columns = members @ (messages @ other_messages.T), others
    else:
        rows, columns = members @ messages, others @ other_messages
    # A hyperedge that nobody is in has messages of hardly any length, and its products would be denormal numbers.
    return _without_dust(rows * inverse), _without_dust(columns * other_inverse)


def _without_dust(x: Tensor) -> Tensor:
    """x with entries below 1e-15 as zeros, in value; the gradient is that of x. A GPU has no slow numbers."""
    if not x.is_cpu:
        return x
    values = x.detach()
    return x - values * (values.abs() < 1e-15)


class _InverseNorms(torch.autograd.Function):
    """1 / ‖H̄ Λ‖ of every row `[n, 1]`, as the root of H̄ (Λ Λᵀ) H̄ᵀ, in double precision because it may cancel.

    With k = H̄ Λ Λᵀ and r the result, ∂r/∂H̄ = -r³ k; a row shorter than `_SHORTEST` has no gradient.
    """

    @staticmethod
    def forward(ctx: Any, members: Tensor, messages: Tensor) -> Tensor:
        wide, inner = members.double(), messages.double()
        products = wide @ (inner @ inner.T)  # k [n, A]
        squares = (products * wide).sum(1, keepdim=True)
        inverse = squares.clamp(min=_SHORTEST**2).rsqrt()
        slopes = torch.where(squares > _SHORTEST**2, inverse**3, 0)
        ctx.save_for_backward(members, messages, products.to(members), slopes.to(members))
        return inverse.to(members)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        members, messages, products, slopes = ctx.saved_tensors
        weights = grad * -slopes
        return weights * products, ((weights * members).T @ members) @ messages
