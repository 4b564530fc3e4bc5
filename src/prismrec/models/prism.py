"""Prism, the house model: a trained graph encoder beside the closed form of Spectral; docs/prism.md derives it.

Related: LightGCN (He et al., SIGIR 2020), FREEDOM (Zhou and Shen, ACM MM 2023), sampled softmax (Wu et al., TOIS 2024).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from prismrec.graph import BipartiteGraph
from prismrec.models.base import BatchSize, Grid, Layers, PositiveCount, Recommender, Temperature
from prismrec.models.spectral import MIN_GAIN, Spectral, SpectralConfig, pays
from prismrec.nn import half_squares, xavier_table
from prismrec.nn.side_by_side import side_by_side
from prismrec.nn.user_fit import fit_users
from prismrec.ops import dropout, info_nce, take_rows, unit_rows
from prismrec.ops.eigen import largest_eigenpairs
from prismrec.types import Embeddings, Interactions, Triplets

Score = Callable[[Embeddings], float]
Fit = tuple[float, float]
"""The constants s_u and p of fitted users."""

WEIGHTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
"""Values of w to try."""
DEFAULT_WEIGHT = 0.2
"""The weight w while the model is trained, and without validation."""
FITS = ((2.0, 0.5), (1.0, 0.5), (4.0, 0.5), (2.0, 0.0), (2.0, 1.0))
"""Values of (s_u, p) to try; the first one is the default without validation."""
NO_FIT = (0.0, 0.0)
WEIGHT_OF_FITTED = 0.1
"""The weight w while s_u and p are chosen."""
FACTOR_LENGTH = 5.0
"""Root mean square length of the rows of s Y. It sets how fast W learns."""


class PrismConfig(SpectralConfig):
    """Hyperparameters of Prism. Those of its spectral part that are not given are chosen by validation."""

    batch_size: BatchSize = 4096
    """Training pairs per step, B, unless an epoch would then have more than `steps_per_epoch` steps."""
    steps_per_epoch: PositiveCount = 64
    """Largest number of steps per epoch. B grows to keep it, because every step propagates over all interactions."""
    layers: Annotated[Layers, Grid(2, 3)] = 2
    """Propagation layers L."""
    similar_weight: NonNegativeFloat | None = None
    """Weight γ of similar items, relative to users, in what an item receives. None: the weight b of the content graph
    in the spectral part."""
    temperature: Annotated[Temperature, Grid(0.2, 0.3, 0.4)] = 0.3
    """Temperature τ of the softmax over cosines."""
    negatives: Annotated[int, Grid(512, 1024)] = Field(1024, ge=2, le=1_000_000)
    """Items sampled per step, which all pairs of the batch share."""
    regulariser: NonNegativeFloat = 1e-4
    """Weight λ of ½ Σ ‖X‖² / B over the ID rows of the batch."""
    id_dropout: float = Field(0.5, ge=0, lt=1)
    """Share of items whose ID rows are hidden in each step, so that their features learn to replace them. Items without
    features, and all items if the features explain nothing (c = 0), are not hidden."""
    initialiser: Literal["spectral", "xavier"] = "spectral"
    """What the weights are at the start: the spectral solution, or uniform random numbers."""
    initial_scale: PositiveFloat = 3.0
    """Standard deviation of the ID tables at the start, relative to Xavier's."""
    spectral_weight: NonNegativeFloat | None = None
    """Weight w of the scores of the spectral part, relative to those of the trained part. None: chosen."""
    user_scale: NonNegativeFloat | None = None
    """Length s_u of the item vectors to which the user vectors are fitted after training. 0: the user vectors stay as
    they were trained. None: chosen."""
    popularity_weight: NonNegativeFloat | None = None
    """Weight p of ln(D_i + 1) in the scores of fitted user vectors. None: chosen."""


class Prism(Recommender):
    """A graph encoder that starts from the spectral solution and is trained by sampled softmax, beside that solution.

    - the spectral part S, a closed form: `SpectralFilter`;
    - the trained part T, propagation over interactions and content: `_encode`;
    - its loss, softmax over cosines: `forward`;
    - its user vectors, fitted to the histories after training: `_trained_part`;
    - T ⊕ w S, the vectors of both parts side by side: `embed`.
    """

    name = "Prism"
    paper = "none, docs/prism.md"
    cost = "(2 E + 2 M k I) d per layer, B S d to contrast with S sampled items"
    repeats_steps = True
    accepts_missing = True
    Config = PrismConfig
    config: PrismConfig
    has_features: Tensor
    seen_items: Tensor
    position_among_seen: Tensor
    weight: Tensor
    user_fit: Tensor
    user_degrees: Tensor
    item_degrees: Tensor

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: PrismConfig) -> None:
        super().__init__(train, features, config)
        self.num_pairs = len(train)
        self.spectral = Spectral(train, features, config)
        self.content = self.spectral.content
        factors = self.content.factors  # Y [I, r]
        if factors is not None:
            self.projection = nn.Parameter(torch.zeros(factors.shape[1], config.embedding_size))  # W [r, d]
            self.factor_scale = FACTOR_LENGTH * len(factors) ** 0.5 / float(factors.norm().clamp(min=1e-12))  # s
            self.register_buffer("has_features", factors.any(1, keepdim=True), persistent=False)  # [I, 1]
        self.graph = BipartiteGraph(train, added_degree=1.0)
        seen = torch.from_numpy(train.item_degrees > 0)
        self.register_buffer("seen_items", seen.nonzero().squeeze(1), persistent=False)  # [n]
        self.register_buffer("position_among_seen", seen.cumsum(0) - 1, persistent=False)  # [I]
        self.user_table = xavier_table(self.num_users, config.embedding_size)  # E_u [U, d]
        self.item_table = xavier_table(self.num_items, config.embedding_size)  # Q [I, d]
        weight = DEFAULT_WEIGHT if config.spectral_weight is None else config.spectral_weight
        self.register_buffer("weight", torch.tensor(weight, dtype=torch.float64))  # w
        self.register_buffer("user_fit", torch.zeros(2, dtype=torch.float64))  # s_u, p
        self._set_fit(FITS[0])
        self.register_buffer("user_degrees", torch.from_numpy(train.user_degrees), persistent=False)  # [U]
        self.register_buffer("item_degrees", torch.from_numpy(train.item_degrees), persistent=False)  # [I]
        self._start_from_spectral()
        largest, _ = largest_eigenpairs(self._co_occurrence, torch.empty(self.num_items, 0), 1)
        self.gain = float(largest.clamp(min=1e-12).rsqrt())  # 1 / σ₁

    @property
    def batch_size(self) -> int:
        return max(self.config.batch_size, math.ceil(self.num_pairs / self.config.steps_per_epoch))

    def select(self, score: Score) -> None:
        """Choose the constants of the spectral part, and start from its solution.

        While the model is trained, its validation uses the trained user vectors, unless the config has a scale.
        """
        self._set_fit(NO_FIT)
        if self.spectral.chosen:
            self.spectral.select(score)
            self._start_from_spectral()

    def refine(self, score: Score) -> None:
        """Choose s_u and p, then w for the trained and for the fitted user vectors, and the better of the two."""
        weights = WEIGHTS if self.config.spectral_weight is None else (self.config.spectral_weight,)
        options = list(dict.fromkeys([self._given_fit(NO_FIT), self._choose_fit(score)]))
        if len(options) * len(weights) == 1:
            return
        curves = [_smooth(self._scores(score, fit, weights)) for fit in options]
        best = max(range(len(options)), key=lambda number: max(curves[number]))
        self._set_fit(options[best])
        self.weight.fill_(weights[curves[best].index(max(curves[best]))])

    def _choose_fit(self, score: Score) -> Fit:
        """s_u and p. Each next pair must raise the metric by 1 %, because the differences are often noise."""
        best, *others = dict.fromkeys(map(self._given_fit, FITS))
        best_score = self._scores(score, best, [WEIGHT_OF_FITTED])[0] if others else 0.0
        for fit in others:
            found = self._scores(score, fit, [WEIGHT_OF_FITTED])[0]
            if pays(found, best_score, MIN_GAIN):
                best, best_score = fit, found
        return best

    def _scores(self, score: Score, fit: Fit, weights: Sequence[float]) -> list[float]:
        """The scores with s_u and p, for each weight w."""
        self._set_fit(fit)
        trained = self._trained_part()
        scores = []
        for weight in weights:
            self.weight.fill_(weight)
            scores.append(score(self._beside_spectral(trained)))
        return scores

    def _given_fit(self, fit: Fit) -> Fit:
        """s_u and p; those of the config where it has them. p is 0 if s_u is 0."""
        scale = fit[0] if self.config.user_scale is None else self.config.user_scale
        popularity = fit[1] if self.config.popularity_weight is None else self.config.popularity_weight
        return (scale, popularity) if scale else NO_FIT

    def _set_fit(self, fit: Fit) -> None:
        self.user_fit.copy_(torch.tensor(self._given_fit(fit)))

    @property
    def chosen(self) -> Mapping[str, float]:
        scale, popularity = self.user_fit.tolist()
        values = {"spectral_weight": float(self.weight), "user_scale": scale, "popularity_weight": popularity}
        is_open = {name: value for name, value in values.items() if getattr(self.config, name) is None}
        return {**self.spectral.chosen, **is_open}

    @torch.no_grad()
    def _start_from_spectral(self) -> None:
        """Q + s Y W ∝ V Λ^½, in which W has what the features explain and E_u is 0; without features, E_u ∝ R̃ V.

        Items without interactions have only what their features and neighbours give them.
        """
        if self.config.initialiser == "xavier":
            return
        users, items = self.spectral.filter.components(self.config.embedding_size)  # [U, d], [I, d]
        self.user_table.copy_(_scaled(users, self.user_table, self.config.initial_scale))
        self.item_table.copy_(_scaled(items, self.item_table, self.config.initial_scale))
        factors = self.content.factors
        if factors is not None and self.spectral.constants[2] > 0:
            explained = factors.T @ self.item_table  # Yᵀ Q [r, d]
            self.projection.copy_(explained / self.factor_scale)
            self.item_table.sub_(factors @ explained)  # (I - H) Q
            if self.config.layers:
                self.user_table.zero_()  # the first layer gives users what their items have
        seen = torch.zeros(self.num_items, 1).to(items).index_fill_(0, self.seen_items, 1)
        self.item_table.mul_(seen)

    def _co_occurrence(self, x: Tensor) -> Tensor:
        return self.graph.items_from(self.graph.users_from(x))

    def _item_inputs(self) -> Tensor:
        """Q + s Y W `[I, d]`, or Q if features explain nothing (c = 0). In training, some rows of Q are hidden."""
        factors = self.content.factors
        if factors is None:
            return self.item_table
        explains = self.spectral.constants[2] > 0
        kept = dropout(torch.ones_like(factors[:, :1]), self.config.id_dropout, self.training)  # [I, 1]
        kept = torch.where(explains & self.has_features, kept, 1.0)
        return kept * self.item_table + self.factor_scale * explains.to(factors) * (factors @ self.projection)

    def _encode(self) -> tuple[Tensor, Tensor]:
        """The mean of layers 0..L of u⁺ = A i and i⁺ = (Aᵀ u + γ C i) / √(1 + γ), `[U, d]` and `[I, d]`.

        A = (D_u + 1)^-½ R (D_i + 1)^-½ / σ₁, whose largest singular value is 1.
        """
        weight = self.spectral.constants[1].to(self.item_table)  # b
        if self.config.similar_weight is not None:
            weight = torch.full_like(weight, self.config.similar_weight)
        users: Tensor = self.user_table
        items = self._item_inputs()
        user_sum = users
        item_sum = items
        for _ in range(self.config.layers):
            received_by_users = self.gain * self.graph.users_from(items)
            received_by_items = self.gain * self.graph.items_from(users)
            if self.content.graph is not None:
                received_by_items = (received_by_items + weight * self.content.graph(items)) * (1 + weight).rsqrt()
            users, items = received_by_users, received_by_items
            user_sum = user_sum + users
            item_sum = item_sum + items
        depth = self.config.layers + 1
        return user_sum / depth, item_sum / depth

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        """Softmax over cosines / τ among the items that occur in training, estimated from a sample of them.

        The negatives of the batch are not used.
        """
        all_users, all_items = self._encode()
        users = unit_rows(take_rows(all_users, batch.users))  # [B, d]
        items = unit_rows(take_rows(all_items, self.seen_items))  # [n, d]
        positives = self.position_among_seen[batch.positives]  # [B]
        mean = torch.full_like(users[:, 0], 1 / len(batch))
        ranking = info_nce(users, items, positives, self.config.temperature, mean, cosines=True, sample=self._sample())
        user_rows = take_rows(self.user_table, batch.users)  # [B, d]
        item_rows = take_rows(self.item_table, batch.positives)  # [B, d]
        return {"softmax": ranking, "regulariser": self.config.regulariser * half_squares(user_rows, item_rows)}

    def _sample(self) -> Tensor:
        """Distinct positions among the seen items, in ascending order, int64 `[S]`."""
        order = torch.randperm(len(self.seen_items), device=self.seen_items.device)
        return order[: self.config.negatives].sort().values

    def embed(self) -> Embeddings:
        """[T_u, w f_u S_u] and [T_i, S_i], with fitted users [z_u, 1, w f_u S_u] and [s_u T_i, p ln(D_i + 1), S_i]."""
        return self._beside_spectral(self._trained_part())

    def _trained_part(self) -> Embeddings:
        """T_u `[U, d]` and T_i `[I, d]`, or the fitted users and their items, `[U, d + 1]` and `[I, d + 1]`."""
        users, items = self._encode()
        users, items = unit_rows(users), unit_rows(items)
        if not self.user_fit[0]:
            return Embeddings(users, items)
        scale, popularity = self.user_fit.to(items)
        offset = popularity * self.item_degrees.to(items).log1p()  # [I]
        return fit_users(scale * items, offset, self.user_degrees, self._sum_histories)

    def _sum_histories(self, x: Tensor) -> Tensor:
        """R x `[U, c]`, from the product with (D_u + 1)^-½ R (D_i + 1)^-½."""
        users = self.graph.users_from((self.item_degrees.to(x) + 1).sqrt().unsqueeze(1) * x)  # [U, c]
        return (self.user_degrees.to(x) + 1).sqrt().unsqueeze(1) * users

    def _beside_spectral(self, trained: Embeddings) -> Embeddings:
        return side_by_side(trained, self.spectral.embed(), self.weight)


def _smooth(scores: Sequence[float]) -> list[float]:
    """The mean of each score and its neighbours, because a single one is noisy."""
    return [fmean(scores[max(0, n - 1) : n + 2]) for n in range(len(scores))]


def _scaled(x: Tensor, table: Tensor, scale: float) -> Tensor:
    """x `[n, c]`, padded with zeros to the shape of the table; its deviation is Xavier's times `scale`."""
    wanted = scale * (2 / sum(table.shape)) ** 0.5
    deviation = x.square().mean().sqrt().clamp(min=1e-12)
    return nn.functional.pad(x * (wanted / deviation), (0, table.shape[1] - x.shape[1]))
