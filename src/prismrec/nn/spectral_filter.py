"""The low-pass filter of Spectral and Prism: the largest eigenpairs of co-occurrence and content similarity."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from prismrec.graph import BipartiteGraph, content_graph, explaining_factors
from prismrec.ops.eigen import Operator, largest_eigenpairs
from prismrec.types import Embeddings, Interactions

FACTORS = 128
"""Width of the factors Y of the features."""


@dataclass(frozen=True)
class Constants:
    """The constants of the spectral filter.

    Attributes:
        added_degree: t.
        content_weight: b.
        explained_weight: c.
        exponent: h.
    """

    added_degree: float
    content_weight: float
    explained_weight: float
    exponent: float


class Content(nn.Module):
    """What the features say about items; a module, so that it follows `.to()`.

    Attributes:
        graph: C `[I, I]`; None without modalities.
        factors: Y `[I, r]`; None without modalities.
    """

    factors: Tensor | None

    def __init__(self, features: Mapping[str, Tensor], neighbours: int) -> None:
        """Search for the k neighbours of each item, and decompose the features."""
        super().__init__()
        self.graph = content_graph(features.values(), neighbours)
        self.register_buffer("factors", explaining_factors(features.values(), FACTORS), persistent=False)


class SpectralFilter:
    """The r largest eigenpairs of M = P + b λ₁ C + c H P H, and the vectors of users and items that follow from them.

    P = R̃ᵀ R̃ with R̃ = (D_u + t)^-½ R (D_i + t)^-½ is the co-occurrence of items, and λ₁ its largest eigenvalue.
    H = Y Yᵀ is the regression on features.

    Attributes:
        constants: t, b, c and h.
        rank: r; eigenpairs beyond it are not in `embed`.
        values: Λ `[r]` or more, with negative eigenvalues set to 0.
        vectors: V `[I, r]` or more.
    """

    def __init__(self, train: Interactions, content: "Content", constants: Constants, rank: int, start: Tensor) -> None:
        """Solve the eigenproblem.

        Args:
            train: R `[U, I]`.
            content: C and Y, if there are modalities.
            constants: t, b, c and h.
            rank: r; I if there are fewer items.
            start: vectors `[I, c]` to start from, on the device that computes.
        """
        self.constants = constants
        self.graph = BipartiteGraph(train, added_degree=constants.added_degree).to(start.device)
        self.item_degrees = torch.from_numpy(train.item_degrees).to(start)[:, None]  # [I, 1]
        operator: Operator = self._co_occurrence
        if content.graph is not None and constants.content_weight:
            largest, _ = largest_eigenpairs(operator, start[:, :1], 1)  # λ₁ [1]
            operator = _sum(operator, content.graph, constants.content_weight * largest)
        if content.factors is not None and constants.explained_weight:
            operator = _sum(operator, self._explained(content.factors), constants.explained_weight)
        values, self.vectors = largest_eigenpairs(operator, start, rank)
        self.values = values.clamp(min=0)
        self.rank = len(values)

    def _co_occurrence(self, x: Tensor) -> Tensor:
        """P x `[I, c]`."""
        return self.graph.items_from(self.graph.users_from(x))

    def _explained(self, factors: Tensor) -> Operator:
        """The map from x `[I, c]` to H P H x, in which Yᵀ P Y `[r, r]` is computed once."""
        core = factors.T @ self._co_occurrence(factors)  # [r, r]
        return lambda x: factors @ (core @ (factors.T @ x))

    def using(self, exponent: float, rank: int | None = None) -> "SpectralFilter":
        """The same eigenpairs with another h, and only the first r of them in `embed`."""
        other = copy.copy(self)
        other.constants = replace(self.constants, exponent=exponent)
        other.rank = self.rank if rank is None else rank
        return other

    def components(self, width: int) -> tuple[Tensor, Tensor]:
        """R̃ V `[U, c]` and V Λ^½ `[I, c]`: without content, the principal components of users and items.

        c is `width`, or less if there are fewer eigenpairs.
        """
        vectors = self.vectors[:, :width]
        return self.graph.users_from(vectors), vectors * self.values[:width].sqrt()

    def fold_in(self) -> Tensor:
        """(D_i + t)^-½ V Λ^h `[I, r]`: the vector of a user is the sum of these rows over its items."""
        degrees = self.item_degrees + self.constants.added_degree
        scale = torch.where(degrees > 0, degrees, torch.inf).rsqrt()
        return scale * self.vectors[:, : self.rank] * self.values[: self.rank] ** self.constants.exponent

    def embed(self) -> Embeddings:
        """Users R (D_i + t)^-½ V Λ^h `[U, r]` and items (D_i + max(t, 1))^½ V `[I, r]`."""
        users = self.graph.sum_over_items()(self.fold_in())
        items = (self.item_degrees + max(self.constants.added_degree, 1.0)).sqrt() * self.vectors[:, : self.rank]
        return Embeddings(users, items)


def _sum(first: Operator, second: Operator, weight: float | Tensor) -> Operator:
    """The map from x to first(x) + weight · second(x)."""
    return lambda x: first(x) + weight * second(x)
