"""The collaborative filtering that LATTICE and MICRO plug an item graph into: ID tables to user and item vectors."""

from typing import Literal

from torch import Tensor, nn

from prismrec.graph import BipartiteGraph
from prismrec.nn.ngcf_layer import NGCFLayer
from prismrec.nn.normalise import unit_rows
from prismrec.nn.propagation import layer_mean
from prismrec.types import Interactions

BackboneName = Literal["MF", "NGCF", "LightGCN"]
BackboneGraph = Literal["rw_self", "sym"]


class Backbone(nn.Module):
    """ID tables `[U, d]`, `[I, d]` to vectors of the same shapes, the mean over layers 0..L.

    - `MF`: the tables themselves, whatever L;
    - `LightGCN`: propagation alone;
    - `NGCF`: its layers with slope 0.01, each normalised row by row for the mean, but not for the next layer.

    As in the official code of LATTICE (Zhang et al., MM 2021), whose graph is `rw_self`, the mean over neighbours and
    oneself; LightGCN itself uses `sym`.
    """

    def __init__(
        self, name: BackboneName, train: Interactions, width: int, layers: int, graph: BackboneGraph, dropout: float
    ) -> None:
        """The weights, if any, and the graph.

        Args:
            name: which.
            train: the training interactions.
            width: d.
            layers: L.
            graph: the normalisation.
            dropout: share of entries dropped after each layer of NGCF in training.
        """
        super().__init__()
        self.depth = 0 if name == "MF" else layers
        self.graph = BipartiteGraph(train, graph)
        convolutions = self.depth if name == "NGCF" else 0
        self.layers = nn.ModuleList(NGCFLayer(width, width, slope=0.01, dropout=dropout) for _ in range(convolutions))

    def forward(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """The vectors of all users and items."""
        if self.graph.symmetric and not self.layers:
            return layer_mean(self.graph, users, items, self.depth)
        nodes, sums = [users, items], [users, items]
        for depth in range(self.depth):
            received = list(self.graph(*nodes))
            if self.layers:
                nodes = [self.layers[depth](own, arrived) for own, arrived in zip(nodes, received, strict=True)]
                added = [unit_rows(side) for side in nodes]
            else:
                nodes = added = received
            sums = [total + side for total, side in zip(sums, added, strict=True)]
        return sums[0] / (self.depth + 1), sums[1] / (self.depth + 1)
