"""Spectral, the closed form of Prism; docs/prism.md derives it.

Related: GF-CF (Shen et al., CIKM 2021), BSPM (Choi et al., SIGIR 2023), the frozen item graph of FREEDOM (Zhou and Shen,
ACM MM 2023).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from prismrec.graph import BipartiteGraph, content_graph
from prismrec.models.base import ModelConfig, PositiveCount, Recommender
from prismrec.nn.held_out import HeldOutRanking, hold_out
from prismrec.ops import SparseMatrix
from prismrec.ops.eigen import largest_eigenpairs
from prismrec.types import Embeddings, Interactions, Triplets

HELD_OUT = 0.1
"""Share of the training interactions on which constants are chosen."""
ADDED_DEGREES = (0.3, 1.0, 3.0, 10.0, 30.0)
CONTENT_WEIGHTS = (0.0, 0.03, 0.1, 0.3)
EXPONENTS = (0.0, 0.5, 1.0, 1.5, 2.0)


@dataclass(frozen=True)
class Constants:
    """The constants of the spectral filter.

    Attributes:
        added_degree: t.
        content_weight: b.
        exponent: h.
    """

    added_degree: float
    content_weight: float
    exponent: float


class SpectralConfig(ModelConfig):
    """Hyperparameters of Spectral. A constant that is not given is chosen on held-out training interactions."""

    added_degree: NonNegativeFloat | None = None
    """Degree t that is added to every user and item; it damps nodes of few interactions."""
    content_weight: NonNegativeFloat | None = None
    """Weight b of the content graph, relative to the co-occurrence of items."""
    exponent: float | None = None
    """Exponent h of the eigenvalues: 0 is an ideal low-pass filter, larger values stress the strongest directions."""
    neighbours: PositiveCount = 10
    """Neighbours k per item and modality in the content graph."""


class SpectralFilter:
    """The eigenpairs of M = R̃ᵀ R̃ + b λ₁ C, and the vectors of users and items that follow from them.

    With R̃ = (D_u + t)^-½ R (D_i + t)^-½ and λ₁ the largest eigenvalue of R̃ᵀ R̃.

    Attributes:
        values: Λ `[d]`, negative ones set to 0.
        vectors: V `[I, d]`.
    """

    def __init__(
        self,
        train: Interactions,
        content: SparseMatrix | None,
        constants: Constants,
        width: int,
        start: Tensor | None = None,
    ) -> None:
        """Solve the eigenproblem.

        Args:
            train: R `[U, I]`.
            content: C `[I, I]`, if there are modalities.
            constants: t, b and h.
            width: d.
            start: vectors `[I, c]` to start from.
        """
        self.constants = constants
        self.graph = BipartiteGraph(train, added_degree=constants.added_degree)
        self.item_degrees = torch.from_numpy(train.item_degrees).to(self.graph.to_users.values)[:, None]  # [I, 1]
        start = self.item_degrees.new_zeros(train.num_items, 0) if start is None else start
        operator = self._co_occurrence
        if content is not None and constants.content_weight:
            largest, _ = largest_eigenpairs(self._co_occurrence, start[:, :1], 1)  # λ₁ [1]
            weight = constants.content_weight * largest

            def operator(x: Tensor) -> Tensor:
                return self._co_occurrence(x) + weight * content(x)

        values, self.vectors = largest_eigenpairs(operator, start, width)
        self.values = values.clamp(min=0)

    def _co_occurrence(self, x: Tensor) -> Tensor:
        """R̃ᵀ R̃ x `[I, c]`."""
        return self.graph.items_from(self.graph.users_from(x))

    def components(self) -> tuple[Tensor, Tensor]:
        """R̃ V `[U, d]` and V Λ^½ `[I, d]`, whose rows have comparable lengths."""
        return self.graph.users_from(self.vectors), self.vectors * self.values.sqrt()

    def fold_in(self) -> Tensor:
        """(D_i + t)^-½ V Λ^h `[I, d]`: the vector of a user is the sum of these rows over its items."""
        degrees = self.item_degrees + self.constants.added_degree
        scale = torch.where(degrees > 0, degrees, torch.inf).rsqrt()
        return scale * self.vectors * self.values**self.constants.exponent

    def embed(self) -> Embeddings:
        """Users R (D_i + t)^-½ V Λ^h `[U, d]` and items (D_i + max(t, 1))^½ V `[I, d]`."""
        users = self.graph.sum_over_items()(self.fold_in())
        items = (self.item_degrees + max(self.constants.added_degree, 1.0)).sqrt() * self.vectors
        return Embeddings(users, items)


def choose_constants(train: Interactions, content: SparseMatrix | None, config: SpectralConfig, width: int) -> Constants:
    """The constants of the config, and for those not given the best on held-out training interactions.

    t is chosen first, then b, each with the best h. Every eigenproblem starts from the solution of the last one.
    """
    given = (config.added_degree, config.content_weight, config.exponent)
    weights = CONTENT_WEIGHTS if content is not None else (0.0,)
    degrees = ADDED_DEGREES if given[0] is None else (given[0],)
    weights = weights if given[1] is None else (given[1],)
    exponents = EXPONENTS if given[2] is None else (given[2],)
    if len(degrees) == len(weights) == len(exponents) == 1:
        return Constants(degrees[0], weights[0], exponents[0])
    kept, held = hold_out(train, HELD_OUT)
    search = _Search(kept, content, exponents, width, HeldOutRanking(kept, held))
    for degree in degrees:
        search.try_(degree, weights[len(weights) // 2])
    for weight in weights:
        search.try_(search.best.added_degree, weight)
    return search.best


class _Search:
    """The best constants so far."""

    def __init__(
        self,
        kept: Interactions,
        content: SparseMatrix | None,
        exponents: Iterable[float],
        width: int,
        quality: HeldOutRanking,
    ) -> None:
        self._problem = (kept, content, width)
        self._exponents = exponents
        self._quality = quality
        self._start: Tensor | None = None
        self._tried: dict[Constants, float] = {}

    @property
    def best(self) -> Constants:
        return max(self._tried, key=self._tried.__getitem__)

    def try_(self, degree: float, weight: float) -> None:
        """Score t and b with every exponent."""
        kept, content, width = self._problem
        plain = Constants(degree, weight, 0.0)
        if plain in self._tried:
            return
        solved = SpectralFilter(kept, content, plain, width, self._start)
        self._start = solved.vectors
        embeddings = solved.embed()
        for exponent in self._exponents:
            users = embeddings.users * solved.values**exponent
            self._tried[replace(plain, exponent=exponent)] = self._quality(users, embeddings.items)


class Spectral(Recommender):
    """Low-rank filter of co-occurrence and content similarity in closed form; nothing is trained.

    Its equations are in `SpectralFilter`. It takes seconds, and so does computing it again when data change.
    """

    name = "Spectral"
    paper = "prismrec, docs/prism.md"
    cost = "none; once about 30 products of E d and 2 M k I d per eigenproblem"
    repeats_steps = True
    accepts_missing = True
    Config = SpectralConfig
    config: SpectralConfig
    users: Tensor
    items: Tensor

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: SpectralConfig) -> None:
        super().__init__(train, features, config)
        content = content_graph(features.values(), config.neighbours)  # C [I, I]
        self.constants = choose_constants(train, content, config, config.embedding_size)
        embeddings = SpectralFilter(train, content, self.constants, config.embedding_size).embed()
        self.register_buffer("users", embeddings.users)  # [U, d]
        self.register_buffer("items", embeddings.items)  # [I, d]

    def embed(self) -> Embeddings:
        return Embeddings(self.users, self.items)

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        return {}
