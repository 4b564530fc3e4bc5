"""SGL.

Wu, Wang, Feng, He, Chen, Lian, Xie. "Self-supervised Graph Learning for Recommendation." SIGIR 2021.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat
from torch import Tensor

from prismrec.graph import BipartiteGraph
from prismrec.graph.dropout import keep_edges, keep_nodes
from prismrec.models.base import ModelConfig, Recommender
from prismrec.nn import bpr_and_squares, layer_mean, merge_sides, rows_of_layer_mean, xavier_table
from prismrec.nn.view_contrast import view_contrast
from prismrec.types import Embeddings, Interactions, Triplets


class SGLConfig(ModelConfig):
    """Hyperparameters of SGL (defaults: its Yelp2018 settings)."""

    layers: NonNegativeInt = 3
    """Propagation layers K, of the whole graph and of both views."""
    augmentation: Literal["edge_dropout", "node_dropout", "random_walk"] = "edge_dropout"
    """What is left out of a view: interactions; users and items with all their interactions; or interactions anew
    in each layer."""
    drop_ratio: float = Field(0.1, ge=0, lt=1)
    """Share ρ of interactions, or of users and of items, left out of each view."""
    contrast_weight: NonNegativeFloat = 0.1
    """Weight λ₁ of the contrast, per training pair; the paper tunes 0.005 to 1."""
    temperature: PositiveFloat = 0.2
    """τ of the contrast."""
    regulariser: NonNegativeFloat = 1e-4
    """Weight λ₂ of ½ ‖X‖² of the un-propagated rows, per training pair."""
    reduction: Literal["sum", "mean"] = "sum"
    """Whether all terms are summed over the training pairs of the batch, as in the official code, or averaged."""


_View = tuple[BipartiteGraph, ...]
"""A thinned graph for all layers, or one for each."""


class SGL(Recommender):
    """LightGCN, and a contrast that makes each node recognisable in two randomly thinned copies of the graph."""

    paper = "Wu et al., SIGIR 2021"
    cost = "6 E d per layer to propagate, B (U + I) d to contrast"
    takes_features = False
    Config = SGLConfig
    config: SGLConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: SGLConfig) -> None:
        super().__init__(train, features, config)
        self.user_table = xavier_table(self.num_users, config.embedding_size)  # [U, d]
        self.item_table = xavier_table(self.num_items, config.embedding_size)  # [I, d]
        self.graph = BipartiteGraph(train)
        self.views: tuple[_View, _View] = (self.graph,), (self.graph,)  # thinned at the start of each epoch

    def start_epoch(self, epoch: int, generator: torch.Generator) -> None:
        if self.config.contrast_weight:
            self.views = self._draw_view(generator), self._draw_view(generator)

    def embed(self) -> Embeddings:
        return Embeddings(*self._propagate((self.graph,)))

    def loss(self, batch: Triplets) -> dict[str, Tensor]:
        rows, places = merge_sides(batch, self.num_users, self.num_items)
        final = rows_of_layer_mean(self.graph, self.user_table, self.item_table, self.config.layers, rows)
        ranking, _ = bpr_and_squares(*final, places)
        _, squares = bpr_and_squares(self.user_table, self.item_table, (batch.users, batch.items))
        pairs = len(batch) if self.config.reduction == "sum" else 1
        terms = {"bpr": pairs * ranking, "regulariser": pairs * self.config.regulariser * squares}
        if self.config.contrast_weight:
            terms["contrast"] = pairs / len(batch) * self.config.contrast_weight * self._contrast(batch)
        return terms

    def _contrast(self, batch: Triplets) -> Tensor:
        """Users and positive items of the batch in view 1 against all users, or all items, in view 2."""
        (users, items), (other_users, other_items) = (self._propagate(view) for view in self.views)
        of_users = view_contrast(users, other_users, batch.users, self.config.temperature)
        of_items = view_contrast(items, other_items, batch.positives, self.config.temperature)
        return of_users + of_items

    def _propagate(self, view: _View) -> tuple[Tensor, Tensor]:
        """The mean of E, Â¹E, Â²Â¹E, … `[U, d]`, `[I, d]`."""
        if len(view) == 1:
            return layer_mean(view[0], self.user_table, self.item_table, self.config.layers)
        layer: tuple[Tensor, Tensor] = self.user_table, self.item_table
        total = layer
        for graph in view:
            layer = graph(*layer)
            total = total[0] + layer[0], total[1] + layer[1]
        return total[0] / (len(view) + 1), total[1] / (len(view) + 1)

    def _draw_view(self, generator: torch.Generator) -> _View:
        """Subsets of exact size, normalised by their own degrees."""
        graph, ratio = self.graph, self.config.drop_ratio
        if self.config.augmentation == "node_dropout":
            return (graph.thinned(keep_nodes(graph, ratio, generator)),)
        draws = self.config.layers if self.config.augmentation == "random_walk" else 1
        return tuple(graph.thinned(keep_edges(graph, ratio, generator)) for _ in range(draws))
