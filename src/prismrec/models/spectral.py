"""Spectral, the closed form of Prism; docs/prism.md derives it.

Related: GF-CF (Shen et al., CIKM 2021), BSPM (Choi et al., SIGIR 2023), the frozen item graph of FREEDOM (Zhou and
Shen, ACM MM 2023).
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn

from prismrec.graph import BipartiteGraph, content_graph, explaining_factors
from prismrec.models.base import Grid, ModelConfig, PositiveCount, Recommender
from prismrec.ops.eigen import Operator, largest_eigenpairs
from prismrec.types import Embeddings, Interactions, Triplets

FACTORS = 128
"""Width r of the factors of the features."""
DEGREE_SHARES = (0.03, 0.1, 0.3, 1.0)
"""Values of t to try, as shares of the mean degree of items."""
CONTENT_WEIGHTS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Values of b to try."""
EXPLAINED_WEIGHTS = (0.0, 1.0, 3.0)
"""Values of c to try."""
EXPONENTS = (0.0, 0.5, 1.0, 1.5, 2.0)
"""Values of h to try."""


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


class SpectralConfig(ModelConfig):
    """Hyperparameters of Spectral.

    Constants that are not given are chosen by validation. Without validation, t is a fifth of the mean degree of items,
    b = 0.1, c = 1 and h = 1.
    """

    added_degree: NonNegativeFloat | None = None
    """Degree t that is added to every user and item. It damps users and items of few interactions. None: chosen."""
    content_weight: NonNegativeFloat | None = None
    """Weight b of the content graph, relative to the co-occurrence of items. None: chosen."""
    explained_weight: NonNegativeFloat | None = None
    """Weight c of the co-occurrence that features explain, relative to all co-occurrence. None: chosen."""
    exponent: float | None = Field(None, ge=-4, le=16)
    """Exponent h of the eigenvalues: 0 is an ideal low-pass filter, larger values stress the strongest directions.
    None: chosen."""
    neighbours: Annotated[PositiveCount, Grid(5, 10, 20, 40)] = 10
    """Neighbours k per item and modality in the content graph."""


class SpectralFilter:
    """The d largest eigenpairs of M = P + b λ₁ C + c H P H, and the vectors of users and items that follow from them.

    P = R̃ᵀ R̃ with R̃ = (D_u + t)^-½ R (D_i + t)^-½ is the co-occurrence of items, and λ₁ its largest eigenvalue.
    H = Y Yᵀ is the regression on features.

    Attributes:
        constants: t, b and h.
        values: Λ `[d]`, with negative eigenvalues set to 0.
        vectors: V `[I, d]`.
    """

    def __init__(
        self, train: Interactions, content: "Content", constants: Constants, width: int, start: Tensor
    ) -> None:
        """Solve the eigenproblem.

        Args:
            train: R `[U, I]`.
            content: C and Y, if there are modalities.
            constants: t, b, c and h.
            width: d; I if there are fewer items.
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
        values, self.vectors = largest_eigenpairs(operator, start, width)
        self.values = values.clamp(min=0)

    def _co_occurrence(self, x: Tensor) -> Tensor:
        """P x `[I, c]`."""
        return self.graph.items_from(self.graph.users_from(x))

    def _explained(self, factors: Tensor) -> Operator:
        """The map from x `[I, c]` to H P H x, in which Yᵀ P Y `[r, r]` is computed once."""
        core = factors.T @ self._co_occurrence(factors)  # [r, r]
        return lambda x: factors @ (core @ (factors.T @ x))

    def with_exponent(self, exponent: float) -> "SpectralFilter":
        """The same eigenpairs with another h."""
        other = copy.copy(self)
        other.constants = replace(self.constants, exponent=exponent)
        return other

    def components(self) -> tuple[Tensor, Tensor]:
        """R̃ V `[U, d]` and V Λ^½ `[I, d]`: without content, the principal components of users and items."""
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


def _sum(first: Operator, second: Operator, weight: float | Tensor) -> Operator:
    """The map from x to first(x) + weight · second(x)."""
    return lambda x: first(x) + weight * second(x)


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


class Spectral(Recommender):
    """Low-rank filter of co-occurrence and content similarity in closed form; computed in seconds, without gradients.

    Its equations are in `SpectralFilter`.
    """

    name = "Spectral"
    paper = "none, docs/prism.md"
    cost = "none; once, about 30 products with E d and M k I d multiply-adds for each eigenproblem"
    repeats_steps = True
    accepts_missing = True
    Config = SpectralConfig
    config: SpectralConfig
    users: Tensor
    items: Tensor
    constants: Tensor

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: SpectralConfig) -> None:
        super().__init__(train, features, config)
        self._train = train
        self.content = Content(features, config.neighbours)
        self.filter = SpectralFilter(
            train,
            self.content,
            self._default_constants(),
            config.embedding_size,
            torch.empty(self.num_items, 0),
        )
        embeddings = self.filter.embed()
        self.register_buffer("users", embeddings.users)  # [U, d]
        self.register_buffer("items", embeddings.items)  # [I, d]
        self.register_buffer("constants", self._stored_constants())  # t, b, c, h [4]

    def embed(self) -> Embeddings:
        return Embeddings(self.users, self.items)

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        return {}

    @property
    def chosen(self) -> Mapping[str, float]:
        names = asdict(self.filter.constants)
        values = dict(zip(names, self.constants.tolist(), strict=True))
        of_content = set() if self.content.graph is not None else {"content_weight", "explained_weight"}
        return {
            name: value
            for name, value in values.items()
            if getattr(self.config, name) is None and name not in of_content
        }

    def select(self, score: Callable[[Embeddings], float]) -> None:
        """Choose t, then c, then b, each with the best h; an eigenproblem starts from the solution of the last one."""
        degrees, explained, weights, exponents = self._candidates()
        if len(degrees) == len(explained) == len(weights) == len(exponents) == 1:
            return
        best_score = -math.inf
        start = self.items
        solved: set[Constants] = set()

        def try_(constants: Constants) -> None:
            nonlocal best_score, start
            if constants in solved:
                return
            solved.add(constants)
            found = SpectralFilter(self._train, self.content, constants, self.config.embedding_size, start)
            start = found.vectors
            for exponent in exponents:
                candidate = found.with_exponent(exponent)
                quality = score(candidate.embed())
                if quality > best_score:
                    best_score = quality
                    self.filter = candidate

        first = replace(self.filter.constants, exponent=0.0)
        for degree in degrees:
            try_(replace(first, added_degree=degree))
        first = replace(self.filter.constants, exponent=0.0)
        for weight in explained:
            try_(replace(first, explained_weight=weight))
        first = replace(self.filter.constants, exponent=0.0)
        for weight in weights:
            try_(replace(first, content_weight=weight))
        self._store()

    def _store(self) -> None:
        embeddings = self.filter.embed()
        self.users.copy_(embeddings.users)
        self.items.copy_(embeddings.items)
        self.constants.copy_(self._stored_constants())

    def _default_constants(self) -> Constants:
        """The constants of the config; for those not given, values that are good on most data."""
        defaults = Constants(
            added_degree=0.2 * self._mean_item_degree(), content_weight=0.1, explained_weight=1.0, exponent=1.0
        )
        given = {name: getattr(self.config, name) for name in asdict(defaults)}
        return replace(defaults, **{name: value for name, value in given.items() if value is not None})

    def _candidates(self) -> tuple[Sequence[float], Sequence[float], Sequence[float], Sequence[float]]:
        """The values to try of t, c, b and h; those of the config have one."""
        constants = self.filter.constants
        config = self.config
        has_content = self.content.graph is not None
        mean = self._mean_item_degree()
        degrees = [share * mean for share in DEGREE_SHARES]
        return (
            degrees if config.added_degree is None else [constants.added_degree],
            EXPLAINED_WEIGHTS if config.explained_weight is None and has_content else [constants.explained_weight],
            CONTENT_WEIGHTS if config.content_weight is None and has_content else [constants.content_weight],
            EXPONENTS if config.exponent is None else [constants.exponent],
        )

    def _mean_item_degree(self) -> float:
        """The mean number of interactions of the items that have some."""
        return len(self._train) / max(1, int((self._train.item_degrees > 0).sum()))

    def _stored_constants(self) -> Tensor:
        return torch.tensor(list(asdict(self.filter.constants).values()), dtype=torch.float64)
