"""SHT.

Xia, Huang, Zhang. "Self-Supervised Hypergraph Transformer for Recommender Systems." KDD 2022.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from prismrec.graph import BipartiteGraph
from prismrec.models.base import ModelConfig, Recommender
from prismrec.nn import HyperedgeMaps, bpr, hinge, layer_sum, sum_of_squares, xavier_table
from prismrec.ops import distinct_rows, take_rows, triplet_rows
from prismrec.types import Embeddings, Interactions, Triplets

_LIGHT = {"regulariser": 3e-7, "supervision_weight": 1.0, "lr_decay": 1.0}
"""Defaults of the variant `light`: the authors' Yelp settings."""


class SHTConfig(ModelConfig):
    """Hyperparameters of SHT (defaults: its Gowalla settings, in the scale of this library).

    The weights of the losses are relative to a ranking loss that is a mean over triplets. The TensorFlow program sums
    over the up to 40 pairs of each user, so that its regulariser is two orders of magnitude larger.
    """

    variant: Literal["transformer", "light"] = "transformer"
    """`transformer`: the paper's model, as its first program computes it; `light`: the authors' later simplification
    without attention and meta-network, aligned on random pairs. `light` brings defaults of its own."""
    layers: NonNegativeInt = 2
    """Layers of the propagation over the interactions."""
    hyperedges: PositiveInt = 128
    """Hyperedges H for users, and as many for items."""
    transformer_layers: NonNegativeInt = 2
    """Layers L of the hypergraph transformer (`transformer` only)."""
    heads: PositiveInt = 2
    """Attention heads; divides embedding_size (`transformer` only)."""
    slope: float = Field(0.5, gt=0, le=1)
    """Slope of the leaky ReLU φ below zero (`transformer` only)."""
    sample_rate: float = Field(0.1, gt=0)
    """Pairs drawn for self-supervision per step: this share of the training edges, in `light` of twice as many."""
    supervision_weight: NonNegativeFloat = 1e-5
    """Weight of the self-supervision, in `transformer` a sum over pairs of edges (`light`, a mean: 1)."""
    solidity_scale: PositiveFloat = 10.0
    """Factor κ on the differences of solidity; the authors use 10 or 100 (`transformer` only)."""
    temperature: PositiveFloat = 0.2
    """τ of the alignment (`light` only)."""
    regulariser: NonNegativeFloat = 1e-4
    """λ of the squares of the weights (`light`: 3e-7)."""
    lr_decay: float = Field(0.96, gt=0, le=1)
    """The learning rate at epoch e (from 0) is learning_rate * lr_decay ** (e / lr_decay_epochs) (`light`: 1)."""

    @model_validator(mode="before")
    @classmethod
    def _own_defaults(cls, values: Any) -> Any:
        is_light = isinstance(values, dict) and values.get("variant") == "light"
        return {**_LIGHT, **values} if is_light else values

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> "SHTConfig":
        if self.variant == "transformer" and self.embedding_size % self.heads:
            raise ValueError(f"embedding_size {self.embedding_size} is not a multiple of heads {self.heads}")
        return self


class SHT(Recommender):
    """A hypergraph transformer over propagated embeddings, which learns to tell solid interactions from noisy ones.

    Both variants end in Z = Θ C with the propagated embeddings Θ `[n, d]` and one matrix C `[d, d]` for users, another
    for items. In the transformer keys and values are linear in Θ, so that all its layers run on ΘᵀΘ `[d, d]` and
    nothing but Θ is as long as the nodes are many.
    """

    name = "SHT"
    paper = "Xia et al., KDD 2022"
    cost = "2 E d to propagate, per layer; (U + I) d²; per transformer layer 2 H² d maps and 2 H d² attention"
    takes_features = False
    repeats_steps = True
    Config = SHTConfig
    config: SHTConfig
    blocks: Tensor

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: SHTConfig) -> None:
        super().__init__(train, features, config)
        d = config.embedding_size
        self.user_table = xavier_table(self.num_users, d)  # E_U [U, d]
        self.item_table = xavier_table(self.num_items, d)  # E_I [I, d]
        self.user_hyperedges = xavier_table(config.hyperedges, d)  # P_U [H, d]
        self.item_hyperedges = xavier_table(config.hyperedges, d)  # P_I [H, d]
        self.graph = BipartiteGraph(train)
        if config.variant == "light":
            return
        self.key, self.value = xavier_table(d, d), xavier_table(d, d)  # W_K, W_V [d, d], for both sides, all layers
        self.maps = HyperedgeMaps(config.transformer_layers, 2, config.hyperedges, config.slope)
        self.meta_weight, self.meta_weight_bias = xavier_table(d, d * d), nn.Parameter(torch.zeros(d * d))  # G_W, g_W
        self.meta_bias, self.meta_bias_bias = xavier_table(d, d), nn.Parameter(torch.zeros(d))  # G_b, g_b
        self.mix, self.mix_bias = xavier_table(2 * d, d), nn.Parameter(torch.zeros(d))  # T, t
        self.readout, self.readout_bias = xavier_table(d, 1), nn.Parameter(torch.zeros(1))  # w, w_0
        head = torch.ones(d // config.heads, d // config.heads)
        self.register_buffer("blocks", torch.block_diag(*[head] * config.heads), persistent=False)  # [d, d]

    def embed(self) -> Embeddings:
        topology = self._topology()
        user_map, item_map = self._maps(topology)
        return Embeddings(topology[0] @ user_map, topology[1] @ item_map)

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        topology = self._topology()
        user_map, item_map = self._maps(topology)
        metric = user_map @ item_map.T  # a score is Θ_u metric Θ_iᵀ
        rows = triplet_rows(*topology, batch)  # each [B, d]
        if self.config.variant == "light":
            return self._light_loss(topology, rows, metric)
        users, positives, negatives = rows
        weights = (
            *(self.user_table, self.item_table, self.user_hyperedges, self.item_hyperedges, self.key, self.value),
            *(self.meta_weight, self.meta_bias, self.mix, self.readout),
        )
        return {
            "hinge": hinge(users @ metric, positives, negatives),
            "regulariser": self.config.regulariser * sum_of_squares(*weights),
            "solidity": self.config.supervision_weight * self._solidity_task(topology),
        }

    def _topology(self) -> tuple[Tensor, Tensor]:
        """Θ, the sum of all layers of propagation: `[U, d]`, `[I, d]`."""
        return layer_sum(self.graph, self.user_table, self.item_table, self.config.layers)

    def _maps(self, topology: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """C `[d, d]` of users and of items."""
        hyperedges = self.user_hyperedges, self.item_hyperedges
        if self.config.variant == "light":
            return hyperedges[0].T @ hyperedges[0], hyperedges[1].T @ hyperedges[1]  # Pᵀ P
        return self._transformer(0, topology[0], hyperedges[0]), self._transformer(1, topology[1], hyperedges[1])

    def _transformer(self, side: int, theta: Tensor, hyperedges: Tensor) -> Tensor:
        """Σ_l C_l with X_l = Θ C_l: attention from nodes to hyperedges, among these, and back to nodes."""
        gram = self.key.T @ (theta.T @ theta)  # Kᵀ Θ with K = Θ W_K [d, d]
        layer_map = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)  # C_0
        total = layer_map
        for layer in range(self.config.transformer_layers):
            attention = self.blocks * (gram @ layer_map @ self.value)  # Kᵀ V, V = X W_V, each head by itself [d, d]
            messages = self.maps(layer, side, hyperedges @ attention)  # Λ [H, d]
            layer_map = self.key @ (self.blocks * (hyperedges.T @ (messages @ self.value)))  # W_K (Pᵀ V̄) [d, d]
            total = total + layer_map
        return total

    def _solidity_task(self, topology: tuple[Tensor, Tensor]) -> Tensor:
        """Pairs of training edges: where one is more solid, the topology should score it higher."""
        edges = torch.randint(len(self.graph.to_users.indices), (self._samples(1),), device=self.user_table.device)
        users, items = self.graph.to_users.rows[edges], self.graph.to_users.indices[edges].long()  # [S]
        strength = _gaps((take_rows(topology[0], users) * take_rows(topology[1], items)).sum(1))  # [S / 2]
        solidity = _gaps(self._solidity(topology, users, items))
        return F.relu(1 - self.config.solidity_scale * strength * solidity).sum()

    def _solidity(self, topology: tuple[Tensor, Tensor], users: Tensor, items: Tensor) -> Tensor:
        """σ(w·ρ + w_0) of edges `[S]`, ρ = φ(T [μ_U; μ_I] + t) + μ_U + μ_I; each node is mapped once."""
        mixed: Tensor = self.mix_bias
        skip: Tensor = self.readout_bias
        hyperedge_tables = self.user_hyperedges, self.item_hyperedges
        sides = zip(topology, (users, items), hyperedge_tables, self.mix.chunk(2), strict=True)
        for theta, ends, hyperedges, mix in sides:
            nodes, places = distinct_rows(ends, len(theta))
            centre = hyperedges.mean(0)  # p̄ [d]
            weight = (centre @ self.meta_weight + self.meta_weight_bias).view(len(centre), -1)  # W_m [d, d]
            bias = centre @ self.meta_bias + self.meta_bias_bias  # b_m [d]
            meta = F.leaky_relu(take_rows(theta, nodes) @ (self.key @ weight) + bias, self.config.slope)  # μ(K) [n, d]
            mixed = mixed + take_rows(meta @ mix, places)  # [S, d]
            skip = skip + take_rows(meta @ self.readout, places).squeeze(1)  # [S]
        return torch.sigmoid((F.leaky_relu(mixed, self.config.slope) @ self.readout).squeeze(1) + skip)

    def _light_loss(
        self, topology: tuple[Tensor, Tensor], rows: tuple[Tensor, Tensor, Tensor], metric: Tensor
    ) -> dict[str, Tensor]:
        """Both encoders ranked, and their orders of random pairs aligned; what reads Θ beside P does not train it."""
        users, positives, negatives = rows
        size, device = (self._samples(2),), metric.device
        first = topology[0][torch.randint(self.num_users, size, device=device)]  # [S, d]
        second = topology[1][torch.randint(self.num_items, size, device=device)]
        locally = _gaps((first * second).sum(1)) / self.config.temperature  # [S / 2]
        globally = _gaps((first.detach() @ metric * second.detach()).sum(1)) / self.config.temperature
        alignment = F.binary_cross_entropy_with_logits(
            globally, locally.detach().sigmoid()
        ) + F.binary_cross_entropy_with_logits(locally, globally.detach().sigmoid())
        weights = self.user_table, self.item_table, self.user_hyperedges, self.item_hyperedges
        return {
            "topology": bpr(users, positives, negatives),
            "bpr": bpr(users.detach() @ metric, positives.detach(), negatives.detach()),
            "regulariser": self.config.regulariser * sum_of_squares(*weights),
            "alignment": self.config.supervision_weight * alignment,
        }

    def _samples(self, directions: int) -> int:
        """S, even and not zero."""
        samples = int(self.config.sample_rate * directions * len(self.graph.to_users.indices))
        return max(2, samples + samples % 2)


def _gaps(values: Tensor) -> Tensor:
    """The first half of the values minus the second, `[S]` to `[S / 2]`."""
    first, second = values.chunk(2)
    return first - second
