"""SGL.

Wu, Wang, Feng, He, Chen, Lian, Xie. "Self-supervised Graph Learning for Recommendation." SIGIR 2021.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from prismrec.graph import BipartiteGraph, keep_edges, keep_nodes
from prismrec.models.base import Grid, Layers, ModelConfig, Recommender, Temperature
from prismrec.nn import bpr_and_squares, layer_mean, rows_of_layer_mean, view_contrast, xavier_table
from prismrec.ops import distinct_rows_of_batch
from prismrec.types import Embeddings, Interactions, Triplets


class SGLConfig(ModelConfig):
    """Hyperparameters of SGL, with the defaults of its Yelp2018 settings and the grid of the paper."""

    layers: Layers = 3
    """Propagation layers K of the full graph and of both views."""
    augmentation: Literal["edge_dropout", "node_dropout", "random_walk"] = "edge_dropout"
    """What a view leaves out. `edge_dropout`: interactions; `node_dropout`: users and items with all interactions;
    `random_walk`: interactions, drawn anew for each layer."""
    drop_ratio: Annotated[float, Grid(0.0, 0.1, 0.2, 0.3, 0.4, 0.5)] = Field(0.1, ge=0, lt=1)
    """Share ρ of the interactions, or of the users and of the items, that each view leaves out."""
    contrast_weight: Annotated[NonNegativeFloat, Grid(0.005, 0.01, 0.05, 0.1, 0.5, 1.0)] = 0.1
    """Weight λ₁ of the contrast per training pair."""
    temperature: Annotated[Temperature, Grid(0.1, 0.2, 0.5, 1.0)] = 0.2
    """τ of the contrast."""
    regulariser: NonNegativeFloat = 1e-4
    """Weight λ₂ of ½ ‖X‖² of the ID rows per training pair."""
    reduction: Literal["sum", "mean"] = "sum"
    """`sum`: all terms are sums over the pairs of the batch, as in the official code; `mean`: they are means."""


View = tuple[BipartiteGraph, ...]
"""A subgraph for all layers, or one per layer."""


class SGL(Recommender):
    """LightGCN, with a contrastive loss between the embeddings of each node in two random subgraphs."""

    name = "SGL"
    paper = "Wu et al., SIGIR 2021"
    cost = "6 E d per layer to propagate, B (U + I) d to contrast"
    takes_features = False
    repeats_steps = True
    Config = SGLConfig
    config: SGLConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: SGLConfig) -> None:
        super().__init__(train, features, config)
        self.user_table = xavier_table(self.num_users, config.embedding_size)  # [U, d]
        self.item_table = xavier_table(self.num_items, config.embedding_size)  # [I, d]
        self.graph = BipartiteGraph(train)
        self.first_view: View = (self.graph,)
        self.second_view: View = (self.graph,)

    def start_epoch(self, epoch: int, generator: torch.Generator) -> None:
        """Draw the two views of the epoch."""
        if self.config.contrast_weight:
            self.first_view = self._draw_view(generator)
            self.second_view = self._draw_view(generator)

    def embed(self) -> Embeddings:
        users, items = self._propagate((self.graph,))
        return Embeddings(users, items)

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        rows, positions = distinct_rows_of_batch(batch, self.num_users, self.num_items)
        users, items = rows_of_layer_mean(self.graph, self.user_table, self.item_table, self.config.layers, rows)
        ranking, _ = bpr_and_squares(users, items, positions)  # on propagated rows
        _, squares = bpr_and_squares(self.user_table, self.item_table, (batch.users, batch.items))  # on ID rows
        pairs = len(batch) if self.config.reduction == "sum" else 1
        terms = {"bpr": pairs * ranking, "regulariser": pairs * self.config.regulariser * squares}
        if self.config.contrast_weight:
            terms["contrast"] = pairs / len(batch) * self.config.contrast_weight * self._contrast(batch)
        return terms

    def _contrast(self, batch: Triplets) -> Tensor:
        """InfoNCE of users and positive items of the batch in view 1, against all users, or all items, in view 2."""
        first_users, first_items = self._propagate(self.first_view)
        second_users, second_items = self._propagate(self.second_view)
        of_users = view_contrast(first_users, second_users, batch.users, self.config.temperature)
        of_items = view_contrast(first_items, second_items, batch.positives, self.config.temperature)
        return of_users + of_items

    def _propagate(self, view: View) -> tuple[Tensor, Tensor]:
        """The mean of E, Â¹E, Â²Â¹E, …, `[U, d]` and `[I, d]`."""
        if len(view) == 1:
            return layer_mean(view[0], self.user_table, self.item_table, self.config.layers)
        users, items = self.user_table, self.item_table
        user_sum, item_sum = users, items
        for graph in view:
            users, items = graph(users, items)
            user_sum = user_sum + users
            item_sum = item_sum + items
        return user_sum / (len(view) + 1), item_sum / (len(view) + 1)

    def _draw_view(self, generator: torch.Generator) -> View:
        """Subgraphs of exact size, normalised by their own degrees."""
        graph, ratio = self.graph, self.config.drop_ratio
        if self.config.augmentation == "node_dropout":
            return (graph.subgraph(keep_nodes(graph, ratio, generator)),)
        draws = self.config.layers if self.config.augmentation == "random_walk" else 1
        return tuple(graph.subgraph(keep_edges(graph, ratio, generator)) for _ in range(draws))
