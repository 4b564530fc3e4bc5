"""One LightGCN per channel with shared users, fused by a linear readout: the forward pass of MMGCL and of SLMRec.

The channels k = 0..M are the item IDs and the M modalities. Channel k propagates [P; C_k], the same users P `[U, d]`
with its own items C_k `[I, d]`. The fused rows are Σ_k H_k W_k + c, with different weights for users and for items.
Propagation is linear and the graph is bipartite, which saves most of the work without changing a value:

- LG([P; C_k]) = LG([P; 0]) + LG([0; C_k]). Each part is nonzero on one side of the graph at a time, so its layers cost
  half a product: M + 2 half products of width d per layer instead of 2 (M + 1).
- Σ_k LG([P; C_k]) W_k = LG([P Σ_k W_k; Σ_k C_k W_k]). If only fused rows are needed, one channel remains.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prismrec.graph import BipartiteGraph
from prismrec.nn.features import Features
from prismrec.nn.layers import FeatureLinear
from prismrec.nn.propagation import layer_mean, layer_mean_of_items, layer_mean_of_users
from prismrec.nn.tables import xavier_table
from prismrec.ops import take_rows, unit_rows
from prismrec.types import Embeddings, Interactions


def xavier_linear(inputs: int, outputs: int, kind: type[nn.Linear] = nn.Linear) -> nn.Linear:
    """A linear layer with weights uniform within ±√(6 / (inputs + outputs)) and biases within ±1 / √inputs."""
    layer = kind(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    return layer


class Channels(NamedTuple):
    """All channels after propagation, split by the origin of their content."""

    users_from_users: Tensor  # LG([P; 0]) at the users, equal in all channels [U, 1, d]
    items_from_users: Tensor  # LG([P; 0]) at the items [I, 1, d]
    users_from_items: Tensor  # LG([0; C_k]) at the users [U, M + 1, d]
    items_from_items: Tensor  # LG([0; C_k]) at the items [I, M + 1, d]

    def users(self, rows: Tensor) -> Tensor:
        """H_k of some users, `[n, M + 1, d]`."""
        return take_rows(self.users_from_users, rows) + take_rows(self.users_from_items, rows)

    def items(self, rows: Tensor) -> Tensor:
        """H_k of some items, `[n, M + 1, d]`."""
        return take_rows(self.items_from_users, rows) + take_rows(self.items_from_items, rows)


class ChannelEncoder(nn.Module):
    """The weights of the channels and of their readouts; features enter with rows of length 1.

    Attributes:
        user_table: P `[U, d]`, shared by all channels.
        item_table: C_0 `[I, d]`, the input of the ID channel.
        projections: a linear layer F_m to d per modality; C_m is the image of the normalised features.
        user_readout: (M + 1) d to d, with the ID channel first and the modalities in their order.
        item_readout: likewise for items.
    """

    def __init__(self, train: Interactions, features: Features, width: int, layers: int) -> None:
        """Build the graph and draw the weights.

        Args:
            train: the training interactions.
            features: of all modalities.
            width: d.
            layers: L.
        """
        super().__init__()
        self.layers = layers
        self.graph = BipartiteGraph(train)
        pairs = zip(features.names, features, strict=True)
        self.features = Features({name: F.normalize(matrix) for name, matrix in pairs})
        self.user_table = xavier_table(train.num_users, width)
        self.item_table = xavier_table(train.num_items, width)
        self.projections = nn.ModuleList(xavier_linear(inputs, width, FeatureLinear) for inputs in features.widths)
        self.user_readout = xavier_linear((1 + len(features)) * width, width)
        self.item_readout = xavier_linear((1 + len(features)) * width, width)

    def inputs(self) -> Tensor:
        """C_k of all items, `[I, M + 1, d]`."""
        projected = [linear(matrix) for linear, matrix in zip(self.projections, self.features, strict=True)]
        return torch.stack([self.item_table, *projected], 1)

    def propagate(self, inputs: Tensor, graph: BipartiteGraph | None = None) -> Channels:
        """H_k of all users and items.

        Args:
            inputs: the items of each channel `[I, M + 1, d]`.
            graph: None means the graph of all training interactions.
        """
        graph = graph or self.graph
        shape = inputs.shape[1:]  # M + 1, d
        users_from_users, items_from_users = layer_mean_of_users(graph, self.user_table, self.layers)
        users_from_items, items_from_items = layer_mean_of_items(graph, inputs.flatten(1), self.layers)
        return Channels(
            users_from_users.unsqueeze(1),
            items_from_users.unsqueeze(1),
            users_from_items.unflatten(1, shape),
            items_from_items.unflatten(1, shape),
        )

    def fuse_users(self, channels: Tensor) -> Tensor:
        """The readout of users, `[n, M + 1, d]` to `[n, d]`."""
        return self.user_readout(channels.flatten(1))

    def fuse_items(self, channels: Tensor) -> Tensor:
        """The readout of items, `[n, M + 1, d]` to `[n, d]`."""
        return self.item_readout(channels.flatten(1))

    def unit_fused(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Both readouts scaled to length 1, for contrasts of cosines."""
        return unit_rows(self.fuse_users(users)), unit_rows(self.fuse_items(items))

    def embed(self) -> Embeddings:
        """The fused rows of all users and items, each with a single propagated channel."""
        inputs = self.inputs()
        users, _ = self._fused_propagation(inputs, self.user_readout)
        _, items = self._fused_propagation(inputs, self.item_readout)
        return Embeddings(users, items)

    def _fused_propagation(self, inputs: Tensor, readout: nn.Linear) -> tuple[Tensor, Tensor]:
        """LG([P Σ_k W_k; Σ_k C_k W_k]) + c, `[U, d]` and `[I, d]`."""
        shared = readout.weight.unflatten(1, inputs.shape[1:]).sum(1)  # Σ_k W_k [d, d]
        users = F.linear(self.user_table, shared)
        items = F.linear(inputs.flatten(1), readout.weight)
        mean_users, mean_items = layer_mean(self.graph, users, items, self.layers)
        return mean_users + readout.bias, mean_items + readout.bias
