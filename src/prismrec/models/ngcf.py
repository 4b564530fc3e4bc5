"""NGCF.

Wang, He, Wang, Feng, Chua. "Neural Graph Collaborative Filtering." SIGIR 2019.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from prismrec.graph import BipartiteGraph, Normalisation
from prismrec.models.base import BatchSize, Grid, Layers, ModelConfig, Recommender
from prismrec.nn import bpr_and_norms, bpr_and_squares, xavier_normal_table, xavier_table
from prismrec.nn.layers import NGCFLayer
from prismrec.ops import distinct_rows_of_batch, take_rows, unit_rows
from prismrec.types import Embeddings, Interactions, Triplets


class NGCFConfig(ModelConfig):
    """Hyperparameters of NGCF, with the defaults of its Amazon-Book settings and the grid of the paper."""

    batch_size: BatchSize = 1024
    """Training pairs per step, B."""
    learning_rate: Annotated[PositiveFloat, Grid(1e-4, 5e-4, 1e-3, 5e-3)] = 5e-4
    """Learning rate of Adam."""
    layers: Layers = 3
    """Layers L; the final vectors are (L + 1) d wide. 0 is matrix factorisation."""
    dropout: Annotated[float, Grid(0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)] = Field(0.1, ge=0, lt=1)
    """Share of entries dropped after each layer in training ("message dropout")."""
    regulariser: Annotated[NonNegativeFloat, Grid(1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)] = 1e-5
    """Weight λ of the regulariser on the final rows of the batch."""
    slope: float = Field(0.2, ge=0, le=1)
    """Slope of the leaky ReLU below zero. The NGCF baseline in the official code of MICRO has slope 0.01."""
    variant: Literal["official", "readme", "sym", "recbole"] = "official"
    """`official`: mean over neighbours and the node itself, one activation per branch, regulariser ½ Σ ‖X‖² / B.
    `readme`: the same with the graph D^-1 A + 1, which the README of the official code calls its default.
    `sym`: `official` with the paper's graph D^-½ A D^-½, where the node itself enters the first branch only.
    `recbole`: the graph of `sym`, one activation on the sum of both branches, each layer reads the normalised layer
    below, regulariser Σ ‖X‖ / B."""


_NORMALISATIONS: dict[str, Normalisation] = {
    "official": "rw_self",
    "readme": "rw_plus_self",
    "sym": "sym",
    "recbole": "sym",
}
"""The graph of each variant."""


class NGCF(Recommender):
    """Graph convolution with learned weights and an elementwise product term; concatenates all layers.

    The final vectors concatenate all layers. `NGCFLayer` computes Eq. 7 of the paper.
    """

    name = "NGCF"
    paper = "Wang et al., SIGIR 2019"
    cost = "2 E d + 2 (U + I) d² per layer"
    takes_features = False
    repeats_steps = True
    Config = NGCFConfig
    config: NGCFConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: NGCFConfig) -> None:
        super().__init__(train, features, config)
        d = config.embedding_size
        normalisation = _NORMALISATIONS[config.variant]
        is_recbole = config.variant == "recbole"
        adds_self = normalisation == "sym"  # the other graphs have self-loops
        table = xavier_normal_table if is_recbole else xavier_table
        self.user_table = table(self.num_users, d)  # [U, d]
        self.item_table = table(self.num_items, d)  # [I, d]
        self.graph = BipartiteGraph(train, normalisation)
        self.layers = nn.ModuleList(
            NGCFLayer(d, d, slope=config.slope, dropout=config.dropout, adds_self=adds_self, joint=is_recbole)
            for _ in range(config.layers)
        )
        for parameter in self.layers.parameters():
            self._initialise(parameter)

    def _initialise(self, parameter: nn.Parameter) -> None:
        is_bias = parameter.ndim == 1
        if self.config.variant != "recbole":
            nn.init.xavier_uniform_(parameter[None] if is_bias else parameter)  # biases are [1, d] in the official code
        elif is_bias:
            nn.init.zeros_(parameter)
        else:
            nn.init.xavier_normal_(parameter)

    def embed(self) -> Embeddings:
        users, items = self._concatenated(slice(None), slice(None))
        return Embeddings(users, items)

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        rows, positions = distinct_rows_of_batch(batch, self.num_users, self.num_items)
        users, items = self._concatenated(rows[0], rows[1])  # [n_U, (L + 1) d], [n_I, (L + 1) d]
        bpr_and_penalty = bpr_and_norms if self.config.variant == "recbole" else bpr_and_squares
        ranking, penalty = bpr_and_penalty(users, items, positions)
        return {"bpr": ranking, "regulariser": self.config.regulariser * penalty}

    def _concatenated(self, user_rows: Tensor | slice, item_rows: Tensor | slice) -> tuple[Tensor, Tensor]:
        """[E ‖ H̄¹ ‖ … ‖ H̄ᴸ] of some distinct rows, where H̄ˡ is Hˡ with rows of length 1.

        The last layer is computed for these rows alone.
        """
        users: Tensor = self.user_table  # H⁰ = E [U, d]
        items: Tensor = self.item_table  # [I, d]
        user_blocks = [take_rows(users, user_rows)]
        item_blocks = [take_rows(items, item_rows)]
        for depth, layer in enumerate(self.layers, 1):
            users_received, items_received = self.graph(users, items)  # S = Â H [U, d], [I, d]
            if depth == len(self.layers):
                users, users_received = take_rows(users, user_rows), take_rows(users_received, user_rows)
                items, items_received = take_rows(items, item_rows), take_rows(items_received, item_rows)
                user_rows, item_rows = slice(None), slice(None)  # only these rows are left
            users = layer(users, users_received)  # Hˡ
            items = layer(items, items_received)
            if self.config.variant == "recbole":
                users, items = unit_rows(users), unit_rows(items)
            user_blocks.append(unit_rows(take_rows(users, user_rows)))  # H̄ˡ
            item_blocks.append(unit_rows(take_rows(items, item_rows)))
        return torch.cat(user_blocks, 1), torch.cat(item_blocks, 1)
