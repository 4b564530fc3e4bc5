"""The collaborative filter to which LATTICE and MICRO add an item graph: ID tables to user and item vectors."""

from typing import Literal

from torch import Tensor, nn

from prismrec.graph import BipartiteGraph
from prismrec.nn.layers import NGCFLayer
from prismrec.nn.propagation import layer_mean
from prismrec.ops import unit_rows
from prismrec.types import Interactions

BackboneName = Literal["MF", "NGCF", "LightGCN"]
BackboneGraph = Literal["rw_self", "sym"]


class Backbone(nn.Module):
    """Users `[U, d]` and items `[I, d]` to the mean of layers 0..L, of the same shapes.

    - `MF`: the tables themselves, for any L;
    - `LightGCN`: propagation;
    - `NGCF`: NGCF layers with slope 0.01. The rows of layers 1..L have length 1 in the mean, but not in the input of
      the next layer.

    These are the backbones of the official code of LATTICE (Zhang et al., MM 2021). Its graph is `rw_self`, the mean
    over neighbours and the node itself. The paper of LightGCN uses `sym`.
    """

    def __init__(
        self, name: BackboneName, train: Interactions, width: int, layers: int, graph: BackboneGraph, dropout: float
    ) -> None:
        """Build the graph and the weights.

        Args:
            name: the backbone.
            train: the training interactions.
            width: d.
            layers: L.
            graph: the normalisation of the graph.
            dropout: share of entries dropped after each NGCF layer in training.
        """
        super().__init__()
        self.depth = 0 if name == "MF" else layers
        self.graph = BipartiteGraph(train, graph)
        convolutions = self.depth if name == "NGCF" else 0
        self.layers = nn.ModuleList(NGCFLayer(width, width, slope=0.01, dropout=dropout) for _ in range(convolutions))

    def forward(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """The vectors of all users `[U, d]` and items `[I, d]`, from their tables."""
        if self.layers:
            return self._ngcf(users, items)
        if self.graph.symmetric:
            return layer_mean(self.graph, users, items, self.depth)
        user_sum, item_sum = users, items
        for _ in range(self.depth):
            users, items = self.graph(users, items)
            user_sum = user_sum + users
            item_sum = item_sum + items
        return user_sum / (self.depth + 1), item_sum / (self.depth + 1)

    def _ngcf(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        user_sum, item_sum = users, items
        for layer in self.layers:
            users_received, items_received = self.graph(users, items)  # [U, d], [I, d]
            users = layer(users, users_received)
            items = layer(items, items_received)
            user_sum = user_sum + unit_rows(users)
            item_sum = item_sum + unit_rows(items)
        return user_sum / (self.depth + 1), item_sum / (self.depth + 1)
