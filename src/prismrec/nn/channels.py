"""LightGCN per channel with shared users, fused by a linear readout: the forward pass of MMGCL and of SLMRec.

The channels k = 0..M are the item IDs and the M modalities. Channel k propagates [P; C_k]: the same users P `[U, d]`
beside its own items C_k `[I, d]`; the fused rows are Σ_k H_k W_k + c, with other weights for users than for items.
Propagation is linear and the graph bipartite, which saves most of the work and changes no value:

- LG([P; C_k]) = LG([P; 0]) + LG([0; C_k]), and each part stands on one side of the graph at a time, so a layer is half
  a product for it: M + 2 halves of width d per layer instead of 2 (M + 1);
- Σ_k LG([P; C_k]) W_k = LG([P Σ_k W_k; Σ_k C_k W_k]): where fused rows are all that is wanted, one channel remains.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prismrec.graph import BipartiteGraph
from prismrec.nn.features import Features
from prismrec.nn.initialise import xavier_table
from prismrec.nn.normalise import unit_rows
from prismrec.nn.projection import FeatureLinear
from prismrec.nn.propagation import layer_mean
from prismrec.nn.rows import take_rows
from prismrec.types import Embeddings, Interactions


def xavier_linear(inputs: int, outputs: int, kind: type[nn.Linear] = nn.Linear) -> nn.Linear:
    """A linear layer with weight uniform within ±√(6 / (inputs + outputs)) and bias within ±1 / √inputs."""
    layer = kind(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    return layer


def one_sided_mean(graph: BipartiteGraph, rows: Tensor, layers: int, *, side: int) -> tuple[Tensor, Tensor]:
    """`layer_mean` where one side starts at zero: of [rows; 0] for side 0, of [0; rows] for side 1.

    Args:
        graph: a symmetric one.
        rows: `[U, d]` or `[I, d]`.
        layers: L; each costs half a product.
        side: where the rows stand, 0 users, 1 items.

    Returns:
        Users `[U, d]` and items `[I, d]`.

    Raises:
        ValueError: the graph is not its own transpose.
    """
    if not graph.symmetric:
        raise ValueError("one_sided_mean needs a symmetrically normalised graph")
    own, other = _OneSidedMean.apply(rows, graph, layers, side)
    return (other, own) if side else (own, other)


class _OneSidedMean(torch.autograd.Function):
    """Even layers on the side of the rows, odd ones on the other; the gradient is as many half-products back."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, graph: BipartiteGraph, layers: int, side: int) -> tuple[Tensor, Tensor]:
        ctx.graph, ctx.layers, ctx.side = graph, layers, side
        layer = rows / (layers + 1)
        sums = [layer, rows.new_zeros(graph.to_users.shape[1 - side], rows.shape[1])]
        for number in range(1, layers + 1):
            layer = graph.items_from(layer) if (side + number) % 2 else graph.users_from(layer)
            # The first layer of each side becomes its sum: by the time that is added to, it has been read.
            sums[number % 2] = layer if number == 1 else sums[number % 2].add_(layer)
        return sums[0], sums[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        total = grads[ctx.layers % 2]
        for number in range(ctx.layers, 0, -1):  # g_own + Â (g_other + Â (g_own + ...)), from the inside out
            transposed = (ctx.side + number) % 2 == 0
            total = ctx.graph.to_users.add_product(grads[(number - 1) % 2], total.contiguous(), transposed=transposed)
        return total / (ctx.layers + 1), None, None, None


class Channels(NamedTuple):
    """All channels after propagation, split by where their content comes from; each pair is (users, items)."""

    from_users: tuple[Tensor, Tensor]  # LG([P; 0]), the same in every channel: [U, 1, d], [I, 1, d]
    from_items: tuple[Tensor, Tensor]  # LG([0; C_k]): [U, M + 1, d], [I, M + 1, d]

    def users(self, rows: Tensor) -> Tensor:
        """H_k of some users, `[n, M + 1, d]`."""
        return take_rows(self.from_users[0], rows) + take_rows(self.from_items[0], rows)

    def items(self, rows: Tensor) -> Tensor:
        """H_k of some items, `[n, M + 1, d]`."""
        return take_rows(self.from_users[1], rows) + take_rows(self.from_items[1], rows)


class ChannelEncoder(nn.Module):
    """The weights of the channels and their readouts; features enter with rows of length 1.

    Attributes:
        user_table: P `[U, d]`, read by all channels.
        item_table: C_0 `[I, d]`, the input of the ID channel.
        projections: one linear layer F_m to d per modality; C_m is the image of the normalised features.
        user_readout, item_readout: (M + 1) d to d, ID first, then modalities in their order.
    """

    def __init__(self, train: Interactions, features: Features, width: int, layers: int) -> None:
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
        """H_k of everything for item inputs `[I, M + 1, d]`, on another graph where one is given."""
        graph = graph or self.graph
        users = one_sided_mean(graph, self.user_table, self.layers, side=0)
        items = one_sided_mean(graph, inputs.flatten(1), self.layers, side=1)
        return Channels(
            (users[0].unsqueeze(1), users[1].unsqueeze(1)),
            (items[0].unflatten(1, inputs.shape[1:]), items[1].unflatten(1, inputs.shape[1:])),
        )

    def fuse_users(self, blocks: Tensor) -> Tensor:
        """The readout of users, `[n, M + 1, d]` to `[n, d]`."""
        return self.user_readout(blocks.flatten(1))

    def fuse_items(self, blocks: Tensor) -> Tensor:
        """The readout of items, `[n, M + 1, d]` to `[n, d]`."""
        return self.item_readout(blocks.flatten(1))

    def directions(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Both readouts scaled to length 1, for contrasts of cosines."""
        return unit_rows(self.fuse_users(users)), unit_rows(self.fuse_items(items))

    def embed(self) -> Embeddings:
        """The fused rows of everything, by one channel for users and one for items."""
        inputs = self.inputs()
        fused = []
        for side, readout in enumerate((self.user_readout, self.item_readout)):
            shared = readout.weight.unflatten(1, inputs.shape[1:]).sum(1)  # Σ_k W_k [d, d]
            users, items = F.linear(self.user_table, shared), F.linear(inputs.flatten(1), readout.weight)
            fused.append(layer_mean(self.graph, users, items, self.layers)[side] + readout.bias)
        return Embeddings(*fused)
