"""HCCF: the model of the paper, and the simplified model of the authors' later program.

Xia, Huang, Xu, Zhao, Yin, Huang. "Hypergraph Contrastive Collaborative Filtering." SIGIR 2022.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn

from prismrec.graph import BipartiteGraph
from prismrec.models.base import Grid, Layers, ModelConfig, PositiveCount, Recommender, Temperature
from prismrec.nn import HyperedgeMaps, bpr, hinge, sum_of_squares, xavier_table
from prismrec.ops import dropout, info_nce, take_rows
from prismrec.ops.rows import DistinctRows
from prismrec.types import Embeddings, Interactions, Triplets

_ALL = slice(None)


class _SharedConfig(ModelConfig):
    """The hyperparameters that both models have. Grids have the official settings, and larger regularisers."""

    layers: Layers = 2
    """Layers L of both branches. 0 is matrix factorisation."""
    hyperedges: PositiveCount = 128
    """Hyperedges H for the users, and the same number for the items."""
    keep_rate: Annotated[float, Grid(0.5, 1.0)] = Field(0.5, gt=0, le=1)
    """Share of interactions, and of entries of the hypergraphs, kept in training."""
    negatives: Literal["batch", "all"] = "batch"
    """Candidates of the contrast. `batch`: the distinct nodes of the batch, as in the official programs; `all`: all
    nodes, as in the paper."""
    regulariser: Annotated[NonNegativeFloat, Grid(1e-6, 1e-4, 1e-3, 1e-2)] = 1e-6
    """Weight λ₂ of the sum of squares of the embedding tables and the hyperedge factors."""


class HCCFConfig(_SharedConfig):
    """Hyperparameters of HCCF, with the defaults of its Yelp settings, rescaled.

    The ranking loss is a mean over triplets here. The official program sums it over up to 40 pairs of each user, so its
    weights of the other terms are about ten times as large.
    """

    lr_decay: float = Field(0.96, gt=0, le=1)
    """The learning rate in epoch e (from 0) is learning_rate * lr_decay ** (e / lr_decay_epochs)."""
    maps: Layers = 3
    """Maps C between hyperedges in each layer."""
    slope: float = Field(0.5, gt=0, le=1)
    """Slope of the leaky ReLU φ below zero. 1 means no activation."""
    temperature: Annotated[Temperature, Grid(0.1, 1.0)] = 1.0
    """Temperature τ of the contrast."""
    contrast_weight: Annotated[NonNegativeFloat, Grid(1e-8, 1e-7, 1e-5)] = 1e-5
    """Weight λ₁ of the contrast, which is summed over the nodes of the batch."""


class HCCFTorchConfig(_SharedConfig):
    """Hyperparameters of HCCF-torch, with the defaults of the official settings for sparse data sets."""

    temperature: Temperature = 0.1
    """Temperature τ of the contrast."""
    contrast_weight: Annotated[NonNegativeFloat, Grid(0.2, 0.5, 1.0)] = 0.2
    """Weight λ₁ of the contrast, which is a mean over the nodes of the batch."""


class _Hypergraph(NamedTuple):
    """E W `[n, H]`: how strongly each node belongs to each hyperedge."""

    table: Tensor  # E [n, d]
    factor: Tensor  # W [d, H]
    product: Tensor | None  # E W [n, H]; only dropout, which acts on its entries, needs it

    def dropped(self, rate: float) -> "_Hypergraph":
        """The hypergraph with a newly drawn share of its entries set to zero; itself if the product is absent."""
        if self.product is None:
            return self
        return self._replace(product=dropout(self.product, rate, training=True))

    def gather(self, nodes: Tensor) -> Tensor:
        """(E W)ᵀ X: nodes `[n, d]` to hyperedges `[H, d]`."""
        if self.product is None:
            return self.factor.T @ (self.table.T @ nodes)
        return self.product.T @ nodes

    def spread(self, messages: Tensor, rows: Tensor | slice) -> Tensor:
        """E W Λ: hyperedges `[H, d]` to some nodes `[r, d]`."""
        if self.product is None:
            return take_rows(self.table, rows) @ (self.factor @ messages)
        return take_rows(self.product, rows) @ messages


class _Layer(NamedTuple):
    """What one layer computes for users, or for items."""

    local: Tensor  # G, the view of the interactions [n, d]
    spread: Tensor  # Γ, the view of the hyperedges [n, d]
    output: Tensor  # X, the input of the next layer [n, d]

    def take(self, rows: Tensor | slice) -> "_Layer":
        """The same for some rows."""
        return _Layer(take_rows(self.local, rows), take_rows(self.spread, rows), take_rows(self.output, rows))


class _Side(NamedTuple):
    """Some users, or some items, after all layers."""

    final: Tensor  # Σ_{l=0..L} X^(l) [n, d]
    layers: list[_Layer]  # l = 1..L


class _HCCFBase(Recommender):
    """The weights, the dropout and the training step that both models share."""

    contrasts_negatives: ClassVar[bool]
    """Whether the negative items of a batch are anchors of the contrast, as its positive items are."""
    paper = "Xia et al., SIGIR 2022"
    takes_features = False
    config: HCCFConfig | HCCFTorchConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: _SharedConfig) -> None:
        super().__init__(train, features, config)
        d = config.embedding_size
        self.user_table = xavier_table(self.num_users, d)  # E_U [U, d]
        self.item_table = xavier_table(self.num_items, d)  # E_I [I, d]
        self.user_factor = xavier_table(d, config.hyperedges)  # W_U [d, H]
        self.item_factor = xavier_table(d, config.hyperedges)  # W_I [d, H]
        self.graph = BipartiteGraph(train)

    @abstractmethod
    def _layer(
        self, number: int, side: int, nodes: Tensor, received: Tensor, hypergraph: _Hypergraph, rows: Tensor | slice
    ) -> _Layer:
        """Some rows of layer `number`, from 0, of users (side 0) or items (side 1).

        The arguments are X of the layer below `[n, d]`, Â X for the same nodes `[n, d]`, and E W.
        """

    @abstractmethod
    def _ranking(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """The ranking loss of a batch, each argument `[B, d]`."""

    @abstractmethod
    def _contrast(self, number: int, local: Tensor, spread: Tensor, positives: Tensor) -> Tensor:
        """InfoNCE of G of anchors `[n, d]` with Γ of candidates `[c, d]`; `positives[b]` is that of anchor b."""

    def embed(self) -> Embeddings:
        users, items = self._propagate(_ALL, _ALL)
        return Embeddings(users.final, items.final)

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        user_rows = self._rows_to_compute(batch.users, self.num_users)
        item_rows = self._rows_to_compute(batch.items, self.num_items)
        user_side, item_side = self._propagate(user_rows.rows, item_rows.rows)
        users = take_rows(user_side.final, user_rows.inverse)  # [B, d]
        items = take_rows(item_side.final, item_rows.inverse)  # [2 B, d]
        positives, negatives = items.split(len(batch))
        squares = sum_of_squares(self.user_table, self.item_table, self.user_factor, self.item_factor)
        ranking = self._ranking(users, positives, negatives)
        terms = {"ranking": ranking, "regulariser": self.config.regulariser * squares}
        if self.config.layers and self.config.contrast_weight:
            contrasted = item_rows.inverse if self.contrasts_negatives else item_rows.inverse[: len(batch)]
            user_terms = self._contrast_layers(user_side, user_rows.inverse.unique())
            item_terms = self._contrast_layers(item_side, contrasted.unique())
            terms["contrast"] = self.config.contrast_weight * torch.stack(user_terms + item_terms).sum()
        return terms

    def _rows_to_compute(self, nodes: Tensor, count: int) -> DistinctRows:
        """The distinct nodes of a batch, or all nodes. Repeated candidates would change the contrast."""
        if self.config.negatives == "all":
            return DistinctRows(torch.arange(count, device=nodes.device), nodes)
        rows, inverse = nodes.unique(return_inverse=True)
        return DistinctRows(rows, inverse)

    def _propagate(self, user_rows: Tensor | slice, item_rows: Tensor | slice) -> tuple[_Side, _Side]:
        """Some users and items after all layers."""
        users: Tensor = self.user_table  # X^(0) [U, d]
        items: Tensor = self.item_table  # [I, d]
        drop_rate = 1 - self.config.keep_rate if self.training else 0.0
        user_hypergraph = _Hypergraph(users, self.user_factor, users @ self.user_factor if drop_rate else None)
        item_hypergraph = _Hypergraph(items, self.item_factor, items @ self.item_factor if drop_rate else None)
        final_users = take_rows(users, user_rows)
        final_items = take_rows(items, item_rows)
        user_layers: list[_Layer] = []
        item_layers: list[_Layer] = []
        for number in range(self.config.layers):
            users_received, items_received = self._convolve(users, items, drop_rate)  # Â X [U, d], [I, d]
            # Inner layers are computed for all nodes, because the next layer reads them. The last one is not.
            is_inner = number < self.config.layers - 1
            made_users, kept_users = (_ALL, user_rows) if is_inner else (user_rows, _ALL)  # computed, and returned
            made_items, kept_items = (_ALL, item_rows) if is_inner else (item_rows, _ALL)
            user_layer = self._layer(number, 0, users, users_received, user_hypergraph.dropped(drop_rate), made_users)
            item_layer = self._layer(number, 1, items, items_received, item_hypergraph.dropped(drop_rate), made_items)
            users, items = user_layer.output, item_layer.output  # X^(l)
            user_layers.append(user_layer.take(kept_users))
            item_layers.append(item_layer.take(kept_items))
            final_users = final_users + user_layers[-1].output
            final_items = final_items + item_layers[-1].output
        return _Side(final_users, user_layers), _Side(final_items, item_layers)

    def _convolve(self, users: Tensor, items: Tensor, drop_rate: float) -> tuple[Tensor, Tensor]:
        """Â X. Each direction of an interaction is dropped on its own."""
        if not drop_rate:
            return self.graph(users, items)
        edges = self.graph.to_users
        weights_to_users = dropout(edges.values, drop_rate, training=True)  # [E]
        weights_to_items = dropout(edges.values, drop_rate, training=True)  # [E]
        return edges.weighted(weights_to_users, items), edges.weighted(weights_to_items, users, transposed=True)

    def _contrast_layers(self, side: _Side, nodes: Tensor) -> list[Tensor]:
        """The contrast of each layer, for some nodes as anchors: positions among the computed rows, int64 `[n]`."""
        among_all = self.config.negatives == "all"
        positives = nodes if among_all else torch.arange(len(nodes), device=nodes.device)
        terms = []
        for number, layer in enumerate(side.layers):
            local = take_rows(layer.local, nodes)  # [n, d]
            spread = layer.spread if among_all else take_rows(layer.spread, nodes)  # [c, d]
            terms.append(self._contrast(number, local, spread, positives))
        return terms


class HCCF(_HCCFBase):
    """Graph convolution and convolution over learned low-rank hyperedges, with a contrastive loss between the two.

    This is the model of the paper, as the authors' TensorFlow program computes it. Its steps, for one side:

    - local view G = φ(Â X): `_convolve`, then `_layer`;
    - hyperedges Λ = φ((E W)ᵀ X), then Λ ← φ(M Λ) + Λ for each map M: `_layer`, `HyperedgeMaps`;
    - hypergraph view Γ = φ(E W Λ), and the next layer X' = G + Γ + X: `_layer`;
    - final embeddings Σ_l X^(l): `_propagate`;
    - contrast of G with Γ T, both normalised first: `_contrast`.

    Without dropout, `_Hypergraph` multiplies by the two factors of E W and never forms the product. The last layer is
    computed for the rows of the batch alone. `dense_loss` in tests/models/test_hccf.py is the same on full matrices.
    """

    name = "HCCF"
    cost = "per layer 2 E d to propagate, 2 (U + I) H d over hyperedges (without dropout 2 (U + I) d²), 2 C H² d to map"
    contrasts_negatives = True
    Config = HCCFConfig
    config: HCCFConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: HCCFConfig) -> None:
        super().__init__(train, features, config)
        d = config.embedding_size
        self.maps = HyperedgeMaps(config.layers, config.maps, config.hyperedges, config.slope)  # M
        self.contrast_maps = nn.ParameterList(xavier_table(d, d) for _ in range(config.layers))  # T [d, d]

    def _layer(
        self, number: int, side: int, nodes: Tensor, received: Tensor, hypergraph: _Hypergraph, rows: Tensor | slice
    ) -> _Layer:
        slope = self.config.slope
        local = F.leaky_relu(take_rows(received, rows), slope)  # G [n, d]
        messages = F.leaky_relu(hypergraph.gather(nodes), slope)  # [H, d]
        messages = self.maps(number, side, messages)  # Λ [H, d]
        spread = F.leaky_relu(hypergraph.spread(messages, rows), slope)  # Γ [n, d]
        return _Layer(local, spread, local + spread + take_rows(nodes, rows))

    def _ranking(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        return hinge(users, positives, negatives)

    def _contrast(self, number: int, local: Tensor, spread: Tensor, positives: Tensor) -> Tensor:
        candidates = F.normalize(spread, eps=1e-6) @ self.contrast_maps[number]
        anchors = F.normalize(local, eps=1e-6)
        return info_nce(anchors, candidates, positives, self.config.temperature)


class HCCFTorch(_HCCFBase):
    """HCCF as in the authors' later PyTorch code, without activations, hyperedge maps and residual connection.

    A layer is X' = Â X + (E W) (E W)ᵀ X (`_layer`). The ranking loss is BPR. The contrast is a mean over users and
    over positive items, and trains the hypergraph view alone (`_contrast`). Everything else is as in HCCF.
    `dense_loss` in the tests covers this model too.
    """

    name = "HCCF-torch"
    cost = "per layer 2 E d to propagate and 2 (U + I) H d over hyperedges (without dropout 2 (U + I) d²)"
    contrasts_negatives = False
    Config = HCCFTorchConfig
    config: HCCFTorchConfig

    def _layer(
        self, number: int, side: int, nodes: Tensor, received: Tensor, hypergraph: _Hypergraph, rows: Tensor | slice
    ) -> _Layer:
        local = take_rows(received, rows)  # G [n, d]
        messages = hypergraph.gather(nodes)  # Λ [H, d]
        spread = hypergraph.spread(messages, rows)  # Γ [n, d]
        return _Layer(local, spread, local + spread)

    def _ranking(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        return bpr(users, positives, negatives)

    def _contrast(self, number: int, local: Tensor, spread: Tensor, positives: Tensor) -> Tensor:
        # 1e-8 gives a node whose edges are all dropped a constant direction instead of none.
        anchors = F.normalize(local.detach() + 1e-8)
        candidates = F.normalize(spread + 1e-8)
        mean = torch.full_like(anchors[:, 0], 1 / len(anchors))
        return info_nce(anchors, candidates, positives, self.config.temperature, mean)
