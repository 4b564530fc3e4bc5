"""BM3.

Zhou, Zhou, Liu, Zeng, Miao, Wang, You, Jiang. "Bootstrap Latent Representations for Multi-modal Recommendation."
WWW 2023.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt
from torch import Tensor, nn

from prismrec.graph import BipartiteGraph
from prismrec.models.base import ModelConfig, Recommender
from prismrec.nn import Features, layer_mean, xavier_table
from prismrec.ops import distinct_rows, dropout, take_rows, take_rows_sparse_grad, unit_rows
from prismrec.types import Embeddings, Interactions, Triplets


class BM3Config(ModelConfig):
    """Hyperparameters of BM3 (defaults: its Baby settings)."""

    layers: NonNegativeInt = 1
    """Propagation layers L."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Share p of entries dropped from the targets in training."""
    modal_weight: NonNegativeFloat = 2.0
    """Weight ω of the modality terms, which are summed over modalities; the paper writes 1."""
    regulariser: NonNegativeFloat = 0.1
    """Weight λ of the regulariser on propagated embeddings."""
    regulariser_form: Literal["norms", "squares"] = "norms"
    """`norms`: Σ ‖H‖_F / I over all users and all items, the official code; `squares`: the mean over the batch of
    ‖h_u‖² + ‖h_i‖², the paper."""
    train_features: bool = True
    """Whether the feature matrices are trained like embedding tables, as in the official code: then they take four
    times their memory (weights, gradients, two moments), and their change decides part of the result."""


class BM3(Recommender):
    """Embeddings of users, items and modalities predict perturbed copies of each other, without negatives.

    A batch's negatives are not looked at.
    """

    name = "BM3"
    paper = "Zhou et al., WWW 2023"
    cost = "2 E d per layer, 2 B d (Σ F_m + (M + 2) d): only rows of the batch are projected and predicted"
    min_modalities = 1
    repeats_steps = True
    Config = BM3Config
    config: BM3Config
    tables: nn.ParameterList | Features

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: BM3Config) -> None:
        super().__init__(train, features, config)
        modalities = Features(features)
        d = config.embedding_size
        self.user_table = xavier_table(self.num_users, d)  # P [U, d]
        self.item_table = xavier_table(self.num_items, d)  # Q [I, d]
        self.predictor = _linear(d, d)  # g, one for users, items and all modalities
        self.projections = nn.ModuleList(_linear(width, d) for width in modalities.widths)  # F_m to d
        if config.train_features:
            self.tables = nn.ParameterList(matrix.clone() for matrix in modalities)  # Φ_m [I, F_m]
        else:
            self.tables = modalities
        self.graph = BipartiteGraph(train)

    def embed(self) -> Embeddings:
        users, items = self._propagate()
        return Embeddings(self.predictor(users), self.predictor(items))

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        all_users, all_items = self._propagate()
        users, user_places = distinct_rows(batch.users, self.num_users)
        positives = distinct_rows(batch.positives, self.num_items)
        items, item_places = positives
        # Each node of the batch is projected, predicted and masked once, however often it occurs.
        online_users, target_users = self._views(take_rows(all_users, users))  # [n_U, d]
        online_items, target_items = self._views(take_rows(all_items, items))  # [n_I, d]
        # The targets are constants: those that a node meets in the batch are added up first.
        met_by_users = torch.zeros_like(target_users).index_add_(0, user_places, take_rows(target_items, item_places))
        met_by_items = torch.zeros_like(target_items).index_add_(0, item_places, take_rows(target_users, user_places))
        pairs = (online_users * met_by_users).sum() + (online_items * met_by_items).sum()
        share = positives.counts / len(batch)  # of each item in the batch [n_I]
        modal = []
        for table, project in zip(self.tables, self.projections, strict=True):
            online, target = self._views(project(take_rows_sparse_grad(table, items)))  # [n_I, d]
            modal.append(2 - share @ (online * (target_items + target)).sum(1))
        return {
            "reconstruction": 2 - pairs / len(batch),
            "modal": self.config.modal_weight * torch.stack(modal).sum(),
            "regulariser": self.config.regulariser * self._regulariser(all_users, all_items, batch),
        }

    def _propagate(self) -> tuple[Tensor, Tensor]:
        """h_U = LG([P; Q])_U `[U, d]`, h_I = LG([P; Q])_I + Q `[I, d]`."""
        users, items = layer_mean(self.graph, self.user_table, self.item_table, self.config.layers)
        return users, items + self.item_table

    def _views(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The prediction g(h) and its target, h with dropout and without gradient; rows of length 1."""
        target = dropout(rows.detach(), self.config.dropout, self.training)
        return unit_rows(self.predictor(rows), 1e-8), unit_rows(target, 1e-8)

    def _regulariser(self, users: Tensor, items: Tensor, batch: Triplets) -> Tensor:
        if self.config.regulariser_form == "norms":
            return (torch.linalg.vector_norm(users) + torch.linalg.vector_norm(items)) / self.num_items
        rows = take_rows(users, batch.users), take_rows(items, batch.positives)  # each [B, d]
        return torch.stack([x.square().sum() for x in rows]).sum() / len(batch)


def _linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer with weight normal, standard deviation √(2 / (inputs + outputs)), and bias within ±1 / √inputs."""
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_normal_(layer.weight)
    return layer
