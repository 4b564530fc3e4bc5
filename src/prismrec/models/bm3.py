"""BM3.

Zhou, Zhou, Liu, Zeng, Miao, Wang, You, Jiang. "Bootstrap Latent Representations for Multi-modal Recommendation."
WWW 2023.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn

from prismrec.graph import BipartiteGraph
from prismrec.models.base import Grid, Layers, ModelConfig, Recommender
from prismrec.nn import Features, layer_mean, sum_of_squares, xavier_table
from prismrec.ops import distinct_rows, dropout, take_rows, take_rows_sparse_grad, unit_rows
from prismrec.ops.rows import DistinctRows
from prismrec.types import Embeddings, Interactions, Triplets


class BM3Config(ModelConfig):
    """Hyperparameters of BM3, with the defaults of its Baby settings and the grid of the paper."""

    layers: Annotated[Layers, Grid(1, 2)] = 1
    """Propagation layers L."""
    dropout: Annotated[float, Grid(0.3, 0.5)] = Field(0.5, ge=0, lt=1)
    """Share p of entries dropped from the targets in training."""
    modal_weight: NonNegativeFloat = 2.0
    """Weight ω of the modality terms, which are summed over modalities. The paper uses 1."""
    regulariser: Annotated[NonNegativeFloat, Grid(0.01, 0.1)] = 0.1
    """Weight λ of the regulariser on propagated embeddings."""
    regulariser_form: Literal["norms", "squares"] = "norms"
    """`norms`: Σ ‖H‖_F / I over all users and all items, as in the official code. `squares`: the mean of
    ‖h_u‖² + ‖h_i‖² over the batch, as in the paper."""
    train_features: bool = True
    """Train the feature matrices like embedding tables, as the official code does. They then take four times the
    memory: weights, gradients and two moments of Adam. False keeps them constant and changes the results."""


class BM3(Recommender):
    """Embeddings of users, items and modalities predict perturbed copies of each other, without negatives.

    With h the propagated IDs, z_m = Φ_m W_m + b_m the projected features of a modality, g the predictor, drop(·) a
    target without gradient, and the cost C one minus the cosine, the loss of a pair (u, i) has two terms:

    - reconstruction: C(g(h_u), drop(h_i)) + C(g(h_i), drop(h_u));
    - modal: Σ_m C(g(z_m), drop(h_i)) + C(g(z_m), drop(z_m)), for the features of item i: `_modal_costs`.

    `plain_loss` in tests/models/test_bm3.py computes the loss pair by pair. Here each distinct user or item n of the
    batch is projected, predicted and masked once, and its targets t are added up before the product with its prediction
    y: Σ_b y_n(b)·t_b = Σ_n y_n·Σ_{b: n(b) = n} t_b. The negatives of a batch are not used.
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
        self.predictor = _linear(d, d)  # g, shared by users, items and all modalities
        self.projections = nn.ModuleList(_linear(width, d) for width in modalities.widths)  # W_m, b_m
        if config.train_features:
            self.tables = nn.ParameterList(matrix.clone() for matrix in modalities)  # Φ_m [I, F_m]
        else:
            self.tables = modalities
        self.graph = BipartiteGraph(train)

    def embed(self) -> Embeddings:
        users, items = self._propagate()
        return Embeddings(self.predictor(users), self.predictor(items))

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        all_users, all_items = self._propagate()  # h [U, d], [I, d]
        users = distinct_rows(batch.users, self.num_users)
        items = distinct_rows(batch.positives, self.num_items)
        online_users, user_targets = self._online_and_target(take_rows(all_users, users.rows))  # [n_U, d]
        online_items, item_targets = self._online_and_target(take_rows(all_items, items.rows))  # [n_I, d]
        # Targets are constants, so the targets of each user and of each item can be added up first.
        targets_of_users = torch.zeros_like(user_targets)
        targets_of_users.index_add_(0, users.inverse, take_rows(item_targets, items.inverse))  # [n_U, d]
        targets_of_items = torch.zeros_like(item_targets)
        targets_of_items.index_add_(0, items.inverse, take_rows(user_targets, users.inverse))  # [n_I, d]
        cosines = (online_users * targets_of_users).sum() + (online_items * targets_of_items).sum()
        return {
            "reconstruction": 2 - cosines / len(batch),
            "modal": self.config.modal_weight * self._modal_costs(items, item_targets, len(batch)),
            "regulariser": self.config.regulariser * self._regulariser(all_users, all_items, batch),
        }

    def _propagate(self) -> tuple[Tensor, Tensor]:
        """h_U = LG([P; Q])_U `[U, d]` and h_I = LG([P; Q])_I + Q `[I, d]`."""
        users, items = layer_mean(self.graph, self.user_table, self.item_table, self.config.layers)
        return users, items + self.item_table

    def _online_and_target(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The prediction g(h), and the target: h with dropout, without gradient. Both with rows of length 1."""
        target = dropout(rows.detach(), self.config.dropout, self.training)
        return unit_rows(self.predictor(rows), 1e-8), unit_rows(target, 1e-8)

    def _modal_costs(self, items: DistinctRows, item_targets: Tensor, batch_size: int) -> Tensor:
        """Σ_m C(g(z_m), drop(h_i)) + C(g(z_m), drop(z_m)), as the mean over the batch.

        Args:
            items: the distinct positives of the batch, n_I of them.
            item_targets: drop(h_i) of these items `[n_I, d]`.
            batch_size: B.
        """
        shares = items.counts / batch_size  # of each item in the batch [n_I]
        costs = []
        for table, project in zip(self.tables, self.projections, strict=True):
            projected = project(take_rows_sparse_grad(table, items.rows))  # z_m [n_I, d]
            online, targets = self._online_and_target(projected)
            cosines = (online * (item_targets + targets)).sum(1)  # [n_I]
            costs.append(2 - shares @ cosines)
        return torch.stack(costs).sum()

    def _regulariser(self, users: Tensor, items: Tensor, batch: Triplets) -> Tensor:
        """Of the propagated IDs h of all users `[U, d]` and items `[I, d]`, in the form of the config."""
        if self.config.regulariser_form == "norms":
            return (torch.linalg.vector_norm(users) + torch.linalg.vector_norm(items)) / self.num_items
        batch_users = take_rows(users, batch.users)  # [B, d]
        batch_items = take_rows(items, batch.positives)  # [B, d]
        return sum_of_squares(batch_users, batch_items) / len(batch)


def _linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer with weight normal, standard deviation √(2 / (inputs + outputs)), and bias within ±1 / √inputs."""
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_normal_(layer.weight)
    return layer
