"""Prism, the house model: a trained graph encoder beside the closed form of Spectral; docs/prism.md derives it.

Related: LightGCN (He et al., SIGIR 2020), FREEDOM (Zhou and Shen, ACM MM 2023), sampled softmax (Wu et al., TOIS 2024).
"""

from collections.abc import Mapping

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from prismrec.graph import BipartiteGraph, content_graph
from prismrec.models.base import BatchSize, Layers, PositiveCount, Recommender, Temperature
from prismrec.models.spectral import SpectralConfig, SpectralFilter, choose_constants
from prismrec.nn import half_squares
from prismrec.ops import info_nce, take_rows, unit_rows
from prismrec.ops.eigen import largest_eigenpairs
from prismrec.types import Embeddings, Interactions, Triplets


class PrismConfig(SpectralConfig):
    """Hyperparameters of Prism. A constant of its spectral part that is not given is chosen on training interactions."""

    batch_size: BatchSize = 4096
    """Training pairs per step, B."""
    layers: Layers = 2
    """Propagation layers L."""
    similar_weight: NonNegativeFloat = 0.3
    """Weight γ of similar items, relative to users, in what an item receives."""
    temperature: Temperature = 0.3
    """Temperature τ of the softmax over cosines."""
    negatives: PositiveCount = 1024
    """Items sampled per step, which all pairs of the batch share."""
    regulariser: NonNegativeFloat = 1e-4
    """Weight λ of ½ Σ ‖X‖² / B over the ID rows of the batch."""
    initial_scale: PositiveFloat = 3.0
    """Standard deviation of the ID tables at the start, relative to Xavier's."""
    spectral_weight: NonNegativeFloat = 0.15
    """Weight w of the scores of the spectral part, relative to those of the trained part."""


class Prism(Recommender):
    """A graph encoder that starts from the spectral solution and is trained by sampled softmax, beside that solution.

    - the spectral part S, a closed form: `SpectralFilter`;
    - the trained part T, propagation over interactions and content: `_encode`;
    - its loss, softmax over cosines: `forward`;
    - T ⊕ w S, the vectors of both parts side by side: `embed`.
    """

    name = "Prism"
    paper = "prismrec, docs/prism.md"
    cost = "(2 E + 2 M k I) d per layer, B S d to contrast with S sampled items"
    repeats_steps = True
    accepts_missing = True
    Config = PrismConfig
    config: PrismConfig
    spectral_users: Tensor
    spectral_items: Tensor
    seen_items: Tensor

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: PrismConfig) -> None:
        super().__init__(train, features, config)
        d = config.embedding_size
        self.content = content_graph(features.values(), config.neighbours)  # C [I, I]
        self.constants = choose_constants(train, self.content, config, d)
        spectral = SpectralFilter(train, self.content, self.constants, d)
        embeddings = spectral.embed()
        self.register_buffer("spectral_users", embeddings.users)  # S_u [U, d]
        self.register_buffer("spectral_items", embeddings.items)  # S_i [I, d]
        users, items = spectral.components()  # [U, d], [I, d]
        items = items * torch.from_numpy(train.item_degrees > 0)[:, None]
        self.user_table = nn.Parameter(_scaled(users, d, config.initial_scale))
        self.item_table = nn.Parameter(_scaled(items, d, config.initial_scale))
        self.graph = BipartiteGraph(train, added_degree=1.0)
        largest, _ = largest_eigenpairs(
            lambda x: self.graph.items_from(self.graph.users_from(x)), self.item_table[:, :1], 1
        )
        self.gain = float(largest.clamp(min=1e-12).rsqrt())  # 1 / σ₁
        seen = torch.from_numpy(train.item_degrees).nonzero().squeeze(1)
        self.register_buffer("seen_items", seen, persistent=False)  # [n]

    def _encode(self) -> tuple[Tensor, Tensor]:
        """The mean of layers 0..L of u⁺ = A i and i⁺ = (Aᵀ u + γ C i) / √(1 + γ), `[U, d]` and `[I, d]`.

        A = (D_u + 1)^-½ R (D_i + 1)^-½ / σ₁, whose largest singular value is 1.
        """
        users, items = self.user_table, self.item_table
        user_sum, item_sum = users, items
        for _ in range(self.config.layers):
            received_by_users = self.gain * self.graph.users_from(items)
            received_by_items = self.gain * self.graph.items_from(users)
            if self.content is not None and self.config.similar_weight:
                weight = self.config.similar_weight
                received_by_items = (received_by_items + weight * self.content(items)) / (1 + weight) ** 0.5
            users, items = received_by_users, received_by_items
            user_sum = user_sum + users
            item_sum = item_sum + items
        depth = self.config.layers + 1
        return user_sum / depth, item_sum / depth

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        all_users, all_items = self._encode()
        users = unit_rows(take_rows(all_users, batch.users))  # [B, d]
        sample = self._sample()  # [S]
        mean = torch.full_like(users[:, 0], 1 / len(batch))
        contrast = info_nce(
            users,
            unit_rows(all_items),
            batch.positives,
            self.config.temperature,
            mean,
            cosines=True,
            sample=sample,
        )
        user_rows = take_rows(self.user_table, batch.users)
        item_rows = take_rows(self.item_table, batch.positives)
        return {"softmax": contrast, "regulariser": self.config.regulariser * half_squares(user_rows, item_rows)}

    def _sample(self) -> Tensor:
        """Distinct items that occur in training, in ascending order, int64 `[S]`."""
        count = len(self.seen_items)
        order = torch.randperm(count, device=self.seen_items.device)[: self.config.negatives]
        return self.seen_items[order.sort().values]

    def embed(self) -> Embeddings:
        """[u, w f_u S_u] and [i, S_i], `[U, 2 d]` and `[I, 2 d]`."""
        users, items = self._encode()
        users, items = unit_rows(users), unit_rows(items)
        factor = _deviation_of_scores(users, items) / _deviation_of_scores(self.spectral_users, self.spectral_items)
        weight = self.config.spectral_weight * factor.nan_to_num(0.0, posinf=0.0)  # w f_u [U, 1]
        return Embeddings(
            torch.cat([users, weight * self.spectral_users], 1), torch.cat([items, self.spectral_items], 1)
        )


def _scaled(x: Tensor, width: int, scale: float) -> Tensor:
    """x `[n, c]` with the given standard deviation relative to Xavier's, padded to `[n, width]`."""
    wanted = scale * (2 / (len(x) + width)) ** 0.5
    deviation = x.square().mean().sqrt().clamp(min=1e-12)
    return nn.functional.pad(x * (wanted / deviation), (0, width - x.shape[1]))


def _deviation_of_scores(users: Tensor, items: Tensor) -> Tensor:
    """The standard deviation over items of the scores of each user, `[U, 1]`, from the covariance of the items."""
    centred = items - items.mean(0)
    covariance = centred.T @ centred / len(items)  # [d, d]
    return ((users @ covariance) * users).sum(1, keepdim=True).clamp(min=0).sqrt()
