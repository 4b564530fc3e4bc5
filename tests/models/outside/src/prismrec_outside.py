"""A model in another package: users are the mean of their items."""

from collections.abc import Mapping

from torch import Tensor

from prismrec.graph import BipartiteGraph
from prismrec.models import ModelConfig, Recommender
from prismrec.nn import bpr_and_squares, xavier_table
from prismrec.ops import take_rows
from prismrec.types import Embeddings, Interactions, Triplets


class MeanConfig(ModelConfig):
    """Hyperparameters of the mean of items."""

    regulariser: float = 1e-4
    """Weight of ½ Σ ‖X‖² / B."""


class MeanOfItems(Recommender):
    """Item factors; a user is the mean of its items."""

    name = "Mean"
    paper = "none"
    cost = "E d"
    takes_features = False
    Config = MeanConfig
    config: MeanConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: MeanConfig) -> None:
        """Draw the item factors."""
        super().__init__(train, features, config)
        self.item_table = xavier_table(self.num_items, config.embedding_size)  # [I, d]
        self.mean_over_items = BipartiteGraph(train).mean_over_items()  # [U, I]

    def embed(self) -> Embeddings:
        """Users [U, d] and items [I, d]."""
        return Embeddings(self.mean_over_items(self.item_table), self.item_table)

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        """BPR and its regulariser."""
        users = self.mean_over_items(self.item_table)
        ranking, squares = bpr_and_squares(take_rows(users, batch.users), take_rows(self.item_table, batch.items))
        return {"bpr": ranking, "regulariser": self.config.regulariser * squares}
