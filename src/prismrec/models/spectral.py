"""Spectral, the closed form of Prism; docs/prism.md derives it.

Related: GF-CF (Shen et al., CIKM 2021), BSPM (Choi et al., SIGIR 2023), the frozen item graph of FREEDOM (Zhou and
Shen, ACM MM 2023).
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from prismrec.graph import BipartiteGraph, content_graph
from prismrec.models.base import ModelConfig, PositiveCount, Recommender
from prismrec.ops import SparseMatrix
from prismrec.ops.eigen import Operator, largest_eigenpairs
from prismrec.types import Embeddings, Interactions, Triplets

DEGREE_SHARES = (0.03, 0.1, 0.2, 0.4, 1.0)
"""Values of t to try, as shares of the mean degree of items."""
CONTENT_WEIGHTS = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Values of b to try."""
EXPONENTS = (0.0, 0.5, 1.0, 1.5, 2.0)
"""Values of h to try."""


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
    """Hyperparameters of Spectral.

    Constants that are not given are chosen by validation. Without validation, t is a fifth of the mean degree of items,
    b = 0.3 and h = 1.
    """

    added_degree: NonNegativeFloat | None = None
    """Degree t that is added to every user and item. It damps users and items of few interactions. None: chosen."""
    content_weight: NonNegativeFloat | None = None
    """Weight b of the content graph, relative to the co-occurrence of items. None: chosen."""
    exponent: float | None = Field(None, ge=-4, le=16)
    """Exponent h of the eigenvalues: 0 is an ideal low-pass filter, larger values stress the strongest directions.
    None: chosen."""
    neighbours: PositiveCount = 10
    """Neighbours k per item and modality in the content graph."""


class SpectralFilter:
    """The d largest eigenpairs of M = R̃ᵀ R̃ + b λ₁ C, and the vectors of users and items that follow from them.

    R̃ = (D_u + t)^-½ R (D_i + t)^-½, and λ₁ is the largest eigenvalue of R̃ᵀ R̃.

    Attributes:
        constants: t, b and h.
        values: Λ `[d]`, with negative eigenvalues set to 0.
        vectors: V `[I, d]`.
    """

    def __init__(
        self, train: Interactions, content: SparseMatrix | None, constants: Constants, width: int, start: Tensor
    ) -> None:
        """Solve the eigenproblem.

        Args:
            train: R `[U, I]`.
            content: C `[I, I]`, if there are modalities.
            constants: t, b and h.
            width: d; I if there are fewer items.
            start: vectors `[I, c]` to start from, on the device that computes.
        """
        self.constants = constants
        self.graph = BipartiteGraph(train, added_degree=constants.added_degree).to(start.device)
        self.item_degrees = torch.from_numpy(train.item_degrees).to(start)[:, None]  # [I, 1]
        operator: Operator = self._co_occurrence
        if content is not None and constants.content_weight:
            largest, _ = largest_eigenpairs(operator, start[:, :1], 1)  # λ₁ [1]
            operator = self._with_content(content, constants.content_weight * largest)
        values, self.vectors = largest_eigenpairs(operator, start, width)
        self.values = values.clamp(min=0)

    def _co_occurrence(self, x: Tensor) -> Tensor:
        """R̃ᵀ R̃ x `[I, c]`."""
        return self.graph.items_from(self.graph.users_from(x))

    def _with_content(self, content: SparseMatrix, weight: Tensor) -> Operator:
        """The map from x `[I, c]` to R̃ᵀ R̃ x + weight · C x."""
        return lambda x: self._co_occurrence(x) + weight * content(x)

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
        self.content = content_graph(features.values(), config.neighbours)  # C [I, I]
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
        self.register_buffer("constants", self._stored_constants())  # t, b, h [3]

    def embed(self) -> Embeddings:
        return Embeddings(self.users, self.items)

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        return {}

    @property
    def chosen(self) -> Mapping[str, float]:
        names = asdict(self.filter.constants)
        values = dict(zip(names, self.constants.tolist(), strict=True))
        return {name: value for name, value in values.items() if getattr(self.config, name) is None}

    def select(self, score: Callable[[Embeddings], float]) -> None:
        """Choose t, then b, each with the best h; every eigenproblem starts from the solution of the last one."""
        first = self.filter.constants
        degrees, weights, exponents = self._candidates()
        if len(degrees) == len(weights) == len(exponents) == 1:
            return
        best_score = -math.inf
        start = self.items

        def try_(degree: float, weight: float) -> None:
            nonlocal best_score, start
            constants = Constants(degree, weight, 0.0)
            solved = SpectralFilter(self._train, self.content, constants, self.config.embedding_size, start)
            start = solved.vectors
            for exponent in exponents:
                candidate = solved.with_exponent(exponent)
                found = score(candidate.embed())
                if found > best_score:
                    best_score = found
                    self.filter = candidate

        for degree in degrees:
            try_(degree, first.content_weight)
        best_degree = self.filter.constants.added_degree
        for weight in weights:
            if weight != first.content_weight:
                try_(best_degree, weight)
        embeddings = self.filter.embed()
        self.users.copy_(embeddings.users)
        self.items.copy_(embeddings.items)
        self.constants.copy_(self._stored_constants())

    def _default_constants(self) -> Constants:
        """The constants of the config; for those not given, values that are good on most data."""
        degree, weight, exponent = self.config.added_degree, self.config.content_weight, self.config.exponent
        return Constants(
            added_degree=0.2 * self._mean_item_degree() if degree is None else degree,
            content_weight=0.3 if weight is None else weight,
            exponent=1.0 if exponent is None else exponent,
        )

    def _candidates(self) -> tuple[list[float], list[float], list[float]]:
        """The values to try of t, b and h."""
        default = self.filter.constants
        mean = self._mean_item_degree()
        degrees = [share * mean for share in DEGREE_SHARES] if self.config.added_degree is None else []
        weights = list(CONTENT_WEIGHTS) if self.config.content_weight is None and self.content is not None else []
        exponents = list(EXPONENTS) if self.config.exponent is None else []
        return degrees or [default.added_degree], weights or [default.content_weight], exponents or [default.exponent]

    def _mean_item_degree(self) -> float:
        """The mean number of interactions of the items that have some."""
        return len(self._train) / max(1, int((self._train.item_degrees > 0).sum()))

    def _stored_constants(self) -> Tensor:
        return torch.tensor(list(asdict(self.filter.constants).values()), dtype=torch.float64)
