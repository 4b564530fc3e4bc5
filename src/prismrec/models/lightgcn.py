"""LightGCN.

He, Deng, Wang, Li, Zhang, Wang. "LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation."
SIGIR 2020.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import NonNegativeFloat
from torch import Tensor

from prismrec.graph import BipartiteGraph
from prismrec.models.base import Grid, Layers, ModelConfig, Recommender
from prismrec.nn import bpr_and_norms, bpr_and_squares, layer_mean, normal_table, rows_of_layer_mean, xavier_table
from prismrec.ops import distinct_rows_of_batch
from prismrec.types import Embeddings, Interactions, Triplets


class LightGCNConfig(ModelConfig):
    """Hyperparameters of LightGCN, with the grid of the paper."""

    layers: Annotated[Layers, Grid(1, 2, 3, 4)] = 3
    """Propagation layers K; 0 is matrix factorisation."""
    regulariser: Annotated[NonNegativeFloat, Grid(1e-6, 1e-5, 1e-4, 1e-3, 1e-2)] = 1e-4
    """Weight λ of the regulariser on the ID rows of the batch."""
    regulariser_form: Literal["squares", "norms"] = "squares"
    """`squares`: ½ Σ ‖X‖² / B, the official code; `norms`: Σ ‖X‖ / B, as in MMRec."""
    initialiser: Literal["normal", "xavier"] = "normal"
    """`normal`: standard deviation 0.1, the official code; `xavier`: uniform, the paper and MMRec."""


class LightGCN(Recommender):
    """Graph convolution of ID embeddings without weights or activations; averages all layers."""

    name = "LightGCN"
    paper = "He et al., SIGIR 2020"
    cost = "2 E d per layer"
    takes_features = False
    repeats_steps = True
    Config = LightGCNConfig
    config: LightGCNConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: LightGCNConfig) -> None:
        super().__init__(train, features, config)
        table = normal_table if config.initialiser == "normal" else xavier_table
        self.user_table = table(self.num_users, config.embedding_size)  # [U, d]
        self.item_table = table(self.num_items, config.embedding_size)  # [I, d]
        self.graph = BipartiteGraph(train)

    def embed(self) -> Embeddings:
        users, items = layer_mean(self.graph, self.user_table, self.item_table, self.config.layers)
        return Embeddings(users, items)

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        rows, positions = distinct_rows_of_batch(batch, self.num_users, self.num_items)
        users, items = rows_of_layer_mean(self.graph, self.user_table, self.item_table, self.config.layers, rows)
        bpr_and_penalty = bpr_and_squares if self.config.regulariser_form == "squares" else bpr_and_norms
        ranking, _ = bpr_and_penalty(users, items, positions)  # on propagated rows
        _, penalty = bpr_and_penalty(self.user_table, self.item_table, (batch.users, batch.items))  # on ID rows
        return {"bpr": ranking, "regulariser": self.config.regulariser * penalty}
