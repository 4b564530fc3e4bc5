"""Spectral, the closed form of Prism; docs/prism.md derives it.

Related: GF-CF (Shen et al., CIKM 2021), BSPM (Choi et al., SIGIR 2023), the frozen item graph of FREEDOM (Zhou and
Shen, ACM MM 2023).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from prismrec.models.base import Grid, ModelConfig, PositiveCount, Recommender
from prismrec.nn.spectral_filter import Constants, Content, SpectralFilter
from prismrec.types import Embeddings, Interactions, Triplets

DEGREE_SHARES = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Values of t to try, as shares of the mean degree of items."""
CONTENT_WEIGHTS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Values of b to try."""
EXPLAINED_WEIGHTS = (0.0, 1.0, 3.0)
"""Values of c to try."""
EXPONENTS = (0.0, 0.5, 1.0, 1.5, 2.0)
"""Values of h to try."""
RANKS = (0.5, 1.0, 2.0, 4.0)
"""Values of r to try, as multiples of d."""
MIN_GAIN = 0.01
"""Another t, b or c must raise the score by this share, because smaller gains are noise of the validation split."""
MIN_RANK_GAIN = 0.02
"""Twice the rank must raise the score by this share, because it also doubles the vectors."""


class SpectralConfig(ModelConfig):
    """Hyperparameters of Spectral.

    Constants that are not given are chosen by validation. Without validation, t is a fifth of the mean degree of items,
    b = 0.1, c = 1, h = 1 and r = d.
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
    rank: PositiveCount | None = None
    """Rank r of the filter, which is the width of its vectors. None: chosen."""
    neighbours: Annotated[PositiveCount, Grid(5, 10, 20, 40)] = 10
    """Neighbours k per item and modality in the content graph."""


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
        self.filter = self.solve(self._default_constants(), torch.empty(self.num_items, 0))
        embeddings = self.filter.embed()
        self.register_buffer("users", embeddings.users.contiguous())  # [U, r]
        self.register_buffer("items", embeddings.items.contiguous())  # [I, r]
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
        values["rank"] = self.users.shape[1]
        return {
            name: value
            for name, value in values.items()
            if getattr(self.config, name) is None and name not in of_content
        }

    def select(self, score: Callable[[Embeddings], float]) -> None:
        """Choose t without content, then c and b, then between t and its neighbours with content, and r.

        Each filter gets its best h. Each eigenproblem starts from the solution of the last one.
        """
        if not self.chosen:
            return
        search = _Search(self, score)
        degrees, explained, weights = self._candidates()
        without_content = replace(self.filter.constants, explained_weight=explained[0], content_weight=weights[0])
        for degree in degrees:
            search.try_constants(replace(without_content, added_degree=degree))
        for weight in explained:
            search.try_constants(replace(search.best.constants, explained_weight=weight))
        for weight in weights:
            search.try_constants(replace(search.best.constants, content_weight=weight))
        for degree in _neighbours(degrees, search.best.constants.added_degree):
            search.try_constants(replace(search.best.constants, added_degree=degree))
        if self.config.rank is None:
            search.choose_rank()
        self.filter = search.best
        self._store()

    def solve(self, constants: Constants, start: Tensor, rank: int | None = None) -> SpectralFilter:
        """The filter with these constants and rank r; it has at least d eigenpairs, from which Prism starts.

        Args:
            constants: t, b, c and h.
            start: vectors `[I, c]` to start from.
            rank: r; None is that of the config, or else d.
        """
        rank = rank or self.config.rank or self.config.embedding_size
        width = max(rank, self.config.embedding_size)
        found = SpectralFilter(self._train, self.content, constants, width, start)
        return found.using(constants.exponent, min(rank, found.rank))

    def _store(self) -> None:
        embeddings = self.filter.embed()
        self.users = embeddings.users.contiguous()
        self.items = embeddings.items.contiguous()
        self.constants.copy_(self._stored_constants())

    def _default_constants(self) -> Constants:
        """The constants of the config; for those not given, values that are good on most data."""
        defaults = Constants(
            added_degree=0.2 * self._mean_item_degree(), content_weight=0.1, explained_weight=1.0, exponent=1.0
        )
        given = {name: getattr(self.config, name) for name in asdict(defaults)}
        return replace(defaults, **{name: value for name, value in given.items() if value is not None})

    def _candidates(self) -> tuple[Sequence[float], Sequence[float], Sequence[float]]:
        """The values to try of t, c and b; those of the config have one."""
        constants = self.filter.constants
        config = self.config
        has_content = self.content.graph is not None
        mean = self._mean_item_degree()
        degrees = [share * mean for share in DEGREE_SHARES]
        return (
            degrees if config.added_degree is None else [constants.added_degree],
            EXPLAINED_WEIGHTS if config.explained_weight is None and has_content else [constants.explained_weight],
            CONTENT_WEIGHTS if config.content_weight is None and has_content else [constants.content_weight],
        )

    def _mean_item_degree(self) -> float:
        """The mean number of interactions of the items that have some."""
        return len(self._train) / max(1, int((self._train.item_degrees > 0).sum()))

    def _stored_constants(self) -> Tensor:
        return torch.tensor(list(asdict(self.filter.constants).values()), dtype=torch.float64)

    def _load_from_state_dict(self, state_dict: Mapping[str, Tensor], prefix: str, *args: Any) -> None:
        """Accept vectors of another rank, which another fit has chosen."""
        for name in ("users", "items"):
            stored = state_dict.get(prefix + name)
            own = getattr(self, name)
            if stored is not None and stored.ndim == 2 and len(stored) == len(own):
                setattr(self, name, own.new_empty(stored.shape))
        super()._load_from_state_dict(state_dict, prefix, *args)


class _Search:
    """A search for the filter whose embeddings have the best score.

    Attributes:
        best: the best filter so far.
    """

    def __init__(self, model: Spectral, score: Callable[[Embeddings], float]) -> None:
        self.best = model.filter
        self._model = model
        self._score = score
        self._best_score = -math.inf
        self._start = model.filter.vectors
        self._solved: set[Constants] = set()

    def try_constants(self, constants: Constants) -> None:
        """Solve one eigenproblem and keep its filter, with the best h, if it is the best."""
        key = replace(constants, exponent=0.0)
        if key in self._solved:
            return
        self._solved.add(key)
        found = self._model.solve(constants, self._start)
        self._start = found.vectors
        score, candidate = self._with_best_exponent(found, found.rank)
        if pays(score, self._best_score, MIN_GAIN):
            self._best_score, self.best = score, candidate

    def choose_rank(self) -> None:
        """Double r, from d / 2 to 4 d, as long as this raises the score by 2 %."""
        width = self._model.config.embedding_size
        solved = self.best  # has the best h for r = d
        largest = len(solved.vectors)
        ranks = [min(max(1, int(share * width)), largest) for share in RANKS]
        score, self.best = self._with_best_exponent(solved, ranks[0])
        for rank in ranks[1:]:
            if rank == solved.rank:
                found_score, found = self._best_score, solved
            else:
                wide = self._model.solve(solved.constants, solved.vectors, rank)
                found_score, found = self._with_best_exponent(wide, wide.rank)
            if not pays(found_score, score, MIN_RANK_GAIN):
                return
            score, self.best = found_score, found

    def _with_best_exponent(self, found: SpectralFilter, rank: int) -> tuple[float, SpectralFilter]:
        """The filter with the h at which the score is highest, found by climbing from the best h so far."""
        given = self._model.config.exponent
        exponents = EXPONENTS if given is None else (given,)
        scores: dict[float, float] = {}

        def score(exponent: float) -> float:
            if exponent not in scores:
                scores[exponent] = self._score(found.using(exponent, rank).embed())
            return scores[exponent]

        here = min(exponents, key=lambda exponent: abs(exponent - self.best.constants.exponent))
        while (best := max([here, *_neighbours(exponents, here)], key=score)) != here:
            here = best
        return scores[here], found.using(here, rank)


def _neighbours(values: Sequence[float], value: float) -> list[float]:
    """The values before and after a value in a list."""
    place = values.index(value)
    return [*values[max(place - 1, 0) : place], *values[place + 1 : place + 2]]


def pays(score: float, before: float, share: float) -> bool:
    """Whether the score is above the one before by this share of it."""
    return before == -math.inf or score - before > share * abs(before)
