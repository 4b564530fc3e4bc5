"""NGCF.

Wang, He, Wang, Feng, Chua. "Neural Graph Collaborative Filtering." SIGIR 2019.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from prismrec.graph import BipartiteGraph
from prismrec.models.base import ModelConfig, Recommender
from prismrec.nn import bpr_and_norms, bpr_and_squares, merge_sides, take_rows, xavier_normal_table, xavier_table
from prismrec.nn.ngcf_layer import NGCFLayer
from prismrec.nn.normalise import unit_rows
from prismrec.types import Embeddings, Interactions, Triplets

_Sides = tuple[Tensor, Tensor]
"""Rows of users and rows of items."""


class NGCFConfig(ModelConfig):
    """Hyperparameters of NGCF (defaults: its Amazon-Book settings)."""

    batch_size: PositiveInt = 1024
    """Training pairs per step, B."""
    learning_rate: PositiveFloat = 5e-4
    """Step size of Adam."""
    layers: NonNegativeInt = 3
    """Convolutions L; the final vectors are (L + 1) d wide; 0 is matrix factorisation."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of entries dropped after each layer in training ("message dropout")."""
    regulariser: NonNegativeFloat = 1e-5
    """Weight λ of the regulariser on the final rows of the batch."""
    variant: Literal["official", "sym", "recbole"] = "official"
    """`official`: mean over neighbours and self, an activation on each branch, regulariser ½ Σ ‖X‖² / B; `sym`: the
    same with the paper's graph D^-½ A D^-½, a node itself entering the first branch alone; `recbole`: that graph, one
    activation on the sum of the branches, each layer reading the normalised one below, regulariser Σ ‖X‖ / B."""


class NGCF(Recommender):
    """Convolutions with learned maps of what a node receives and of its product with the node itself, concatenated."""

    paper = "Wang et al., SIGIR 2019"
    cost = "2 E d + 2 (U + I) d² per layer"
    takes_features = False
    Config = NGCFConfig
    config: NGCFConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: NGCFConfig) -> None:
        super().__init__(train, features, config)
        d, official = config.embedding_size, config.variant == "official"
        table = xavier_normal_table if config.variant == "recbole" else xavier_table
        self.user_table = table(self.num_users, d)  # [U, d]
        self.item_table = table(self.num_items, d)  # [I, d]
        self.graph = BipartiteGraph(train, "rw_self" if official else "sym")
        self.layers = nn.ModuleList(
            NGCFLayer(d, d, dropout=config.dropout, adds_self=not official, joint=config.variant == "recbole")
            for _ in range(config.layers)
        )
        for parameter in self.layers.parameters():
            self._initialise(parameter)

    def _initialise(self, parameter: nn.Parameter) -> None:
        if self.config.variant != "recbole":
            nn.init.xavier_uniform_(parameter if parameter.ndim == 2 else parameter[None])  # biases are [1, d] there
        elif parameter.ndim == 2:
            nn.init.xavier_normal_(parameter)
        else:
            nn.init.zeros_(parameter)

    def embed(self) -> Embeddings:
        return Embeddings(*self._concatenated(slice(None), slice(None)))

    def loss(self, batch: Triplets) -> dict[str, Tensor]:
        rows, places = merge_sides(batch, self.num_users, self.num_items)
        terms = bpr_and_norms if self.config.variant == "recbole" else bpr_and_squares
        ranking, penalty = terms(*self._concatenated(*rows), places)  # (L + 1) d wide
        return {"bpr": ranking, "regulariser": self.config.regulariser * penalty}

    def _concatenated(self, users: Tensor | slice, items: Tensor | slice) -> _Sides:
        """[E ‖ H̄¹ ‖ … ‖ H̄ᴸ] for the given distinct rows, the only ones of which the last layer is computed."""
        rows = users, items
        nodes: _Sides = self.user_table, self.item_table  # H⁰ = E [U, d], [I, d]
        blocks = [_pick(nodes, rows)]
        for depth, layer in enumerate(self.layers, 1):
            received = self.graph(*nodes)  # S = Â H [U, d], [I, d]
            if depth == len(self.layers):
                nodes, received, rows = _pick(nodes, rows), _pick(received, rows), (slice(None), slice(None))
            nodes = layer(nodes[0], received[0]), layer(nodes[1], received[1])  # H
            if self.config.variant == "recbole":
                nodes = _normalised(nodes)
            blocks.append(_normalised(_pick(nodes, rows)))  # H̄
        user_blocks, item_blocks = zip(*blocks, strict=True)
        return torch.cat(user_blocks, 1), torch.cat(item_blocks, 1)


def _pick(sides: _Sides, rows: tuple[Tensor | slice, Tensor | slice]) -> _Sides:
    return take_rows(sides[0], rows[0]), take_rows(sides[1], rows[1])


def _normalised(sides: _Sides) -> _Sides:
    return unit_rows(sides[0]), unit_rows(sides[1])
