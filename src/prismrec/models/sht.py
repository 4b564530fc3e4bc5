"""SHT: the hypergraph transformer of the paper, and the lighter model of the authors' later program.

Xia, Huang, Zhang. "Self-Supervised Hypergraph Transformer for Recommender Systems." KDD 2022.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator
from torch import Tensor, nn

from prismrec.graph import BipartiteGraph
from prismrec.models.base import Grid, Layers, ModelConfig, PositiveCount, Recommender, Temperature
from prismrec.nn import HyperedgeMaps, bpr, hinge, layer_sum, sum_of_squares, xavier_table
from prismrec.ops import distinct_rows, take_rows, triplet_rows
from prismrec.types import Embeddings, Interactions, Triplets


class _SharedConfig(ModelConfig):
    """The hyperparameters that both models have."""

    layers: Layers = 2
    """Layers of the propagation over the interactions."""
    hyperedges: PositiveCount = 128
    """Hyperedges H for the users, and the same number for the items."""


class SHTConfig(_SharedConfig):
    """Hyperparameters of SHT, with the defaults of its Gowalla settings, rescaled.

    The ranking loss is a mean over triplets here. The official program sums it over up to 40 pairs of each user, so its
    regulariser is about a hundred times as large, and the grid of it is ours. That of κ has the official settings.
    """

    lr_decay: float = Field(0.96, gt=0, le=1)
    """The learning rate in epoch e (from 0) is learning_rate * lr_decay ** (e / lr_decay_epochs)."""
    transformer_layers: Layers = 2
    """Layers L of the hypergraph transformer."""
    heads: PositiveCount = 2
    """Attention heads. embedding_size must be a multiple of it."""
    slope: float = Field(0.5, gt=0, le=1)
    """Slope of the leaky ReLU φ below zero."""
    sample_rate: float = Field(0.1, gt=0, le=100)
    """Interactions drawn for self-supervision at each step, as a share of all training interactions."""
    supervision_weight: NonNegativeFloat = 1e-5
    """Weight of the self-supervision, which is summed over pairs of interactions."""
    solidity_scale: Annotated[PositiveFloat, Grid(10.0, 100.0)] = 10.0
    """Factor κ of the differences of solidity. The official settings are 10 or 100."""
    regulariser: Annotated[NonNegativeFloat, Grid(1e-4, 1e-3, 1e-2, 0.1)] = 1e-4
    """Weight λ of the sum of squares of the weights. Biases and hyperedge maps are not regularised."""

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> "SHTConfig":
        if self.embedding_size % self.heads:
            raise ValueError(f"embedding_size {self.embedding_size} is not a multiple of heads {self.heads}")
        return self


class SHTLightConfig(_SharedConfig):
    """Hyperparameters of SHT-light, with the defaults of its Yelp settings.

    The grid has the official settings of all data sets, and larger regularisers, which help on small data sets.
    """

    sample_rate: Annotated[float, Grid(0.01, 0.1)] = Field(0.1, gt=0, le=100)
    """Number of random user-item pairs drawn for self-supervision at each step, divided by twice the number of training
    interactions."""
    supervision_weight: NonNegativeFloat = 1.0
    """Weight λ_a of the self-supervision of the hypergraph, which learns the order of pairs from the topology."""
    topology_supervision_weight: NonNegativeFloat = 1.0
    """Weight λ_b of the self-supervision of the propagated embeddings, which learn the order of pairs from the
    hyperedges."""
    temperature: Annotated[Temperature, Grid(0.2, 0.5)] = 0.2
    """Temperature τ of the self-supervision."""
    regulariser: Annotated[NonNegativeFloat, Grid(3e-8, 3e-7, 3e-6, 3e-5, 3e-4)] = 3e-7
    """Weight λ of the sum of squares of all weights."""


class _SHTBase(Recommender):
    """The propagation and the readout that both models share: final embeddings are Z = Θ C with C `[d, d]`."""

    paper = "Xia et al., KDD 2022"
    takes_features = False
    repeats_steps = True
    config: SHTConfig | SHTLightConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: _SharedConfig) -> None:
        super().__init__(train, features, config)
        d = config.embedding_size
        self.user_table = xavier_table(self.num_users, d)  # E_U [U, d]
        self.item_table = xavier_table(self.num_items, d)  # E_I [I, d]
        self.user_hyperedges = xavier_table(config.hyperedges, d)  # P_U [H, d]
        self.item_hyperedges = xavier_table(config.hyperedges, d)  # P_I [H, d]
        self.graph = BipartiteGraph(train)

    @abstractmethod
    def _final_maps(self, theta_users: Tensor, theta_items: Tensor) -> tuple[Tensor, Tensor]:
        """C `[d, d]` of users and of items, from their propagated embeddings."""

    def embed(self) -> Embeddings:
        theta_users, theta_items = self._topology()
        user_map, item_map = self._final_maps(theta_users, theta_items)
        return Embeddings(theta_users @ user_map, theta_items @ item_map)

    def _topology(self) -> tuple[Tensor, Tensor]:
        """Θ = Σ_{l=0..layers} Â^l E, the propagated embeddings of users `[U, d]` and items `[I, d]`."""
        return layer_sum(self.graph, self.user_table, self.item_table, self.config.layers)


class SHT(_SHTBase):
    """A hypergraph transformer over propagated embeddings that learns to tell reliable interactions from noisy ones.

    This is the model of the paper, as the authors' TensorFlow program computes it. Its steps, for one side:

    - propagation, Θ = Σ_l Â^l E: `_topology`;
    - keys K = Θ W_K, values V = X_{l-1} W_V, and from nodes to hyperedges P, Λ_a = P_a (K_aᵀ V_a) for each head a:
      `_transformer`;
    - maps between hyperedges, Λ ← φ(M Λ) + Λ, twice: `HyperedgeMaps`;
    - back to nodes, (X_l)_a = K_a (P_aᵀ (Λ W_V)_a), and final embeddings Z = Σ_l X_l with X_0 = Θ: `_transformer`;
    - solidity of an interaction by a meta-network: `_solidity`; its comparison with Θ: `_solidity_task`.

    The attention has no softmax, so X_l = Θ C_l with a matrix C_l `[d, d]`. `_transformer` computes Σ_l C_l from ΘᵀΘ
    `[d, d]`, without keys, values or attention of single nodes. `dense_transformer` in tests/models/test_sht.py forms
    them all, head by head; `transformer_loss` is the loss that uses it.
    """

    name = "SHT"
    cost = "2 E d per propagation layer, (U + I) d² for ΘᵀΘ, 4 H² d + 6 H d² per transformer layer"
    Config = SHTConfig
    config: SHTConfig
    blocks: Tensor

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: SHTConfig) -> None:
        super().__init__(train, features, config)
        d = config.embedding_size
        self.key = xavier_table(d, d)  # W_K, for both sides and all layers
        self.value = xavier_table(d, d)  # W_V, likewise
        self.maps = HyperedgeMaps(config.transformer_layers, 2, config.hyperedges, config.slope)  # M
        self.meta_weight = xavier_table(d, d * d)  # G_W
        self.meta_weight_bias = nn.Parameter(torch.zeros(d * d))  # g_W
        self.meta_bias = xavier_table(d, d)  # G_b
        self.meta_bias_bias = nn.Parameter(torch.zeros(d))  # g_b
        self.mix = xavier_table(2 * d, d)  # T
        self.mix_bias = nn.Parameter(torch.zeros(d))  # t
        self.readout = xavier_table(d, 1)  # w
        self.readout_bias = nn.Parameter(torch.zeros(1))  # w_0
        head = torch.ones(d // config.heads, d // config.heads)
        self.register_buffer("blocks", torch.block_diag(*[head] * config.heads), persistent=False)  # [d, d]

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        theta_users, theta_items = self._topology()
        user_map, item_map = self._final_maps(theta_users, theta_items)
        metric = user_map @ item_map.T  # the score of a pair is θ_u metric θ_iᵀ [d, d]
        users, positives, negatives = triplet_rows(theta_users, theta_items, batch)  # each [B, d]
        return {
            "hinge": hinge(users @ metric, positives, negatives),
            "regulariser": self.config.regulariser * self._squares(),
            "solidity": self.config.supervision_weight * self._solidity_task(theta_users, theta_items),
        }

    def _squares(self) -> Tensor:
        tables = self.user_table, self.item_table, self.user_hyperedges, self.item_hyperedges
        maps = self.key, self.value, self.meta_weight, self.meta_bias, self.mix, self.readout
        return sum_of_squares(*tables, *maps)

    def _final_maps(self, theta_users: Tensor, theta_items: Tensor) -> tuple[Tensor, Tensor]:
        user_map = self._transformer(0, theta_users, self.user_hyperedges)
        item_map = self._transformer(1, theta_items, self.item_hyperedges)
        return user_map, item_map

    def _transformer(self, side: int, theta: Tensor, hyperedges: Tensor) -> Tensor:
        """Σ_{l=0..L} C_l `[d, d]`, where C_0 = 1 and X_l = Θ C_l are the nodes after layer l.

        Each head uses its own columns: `blocks` sets products of different heads to zero.
        """
        key_products = self.key.T @ (theta.T @ theta)  # Kᵀ Θ [d, d]
        layer_map = torch.eye(len(key_products), dtype=theta.dtype, device=theta.device)  # C_0 [d, d]
        total = layer_map
        for layer in range(self.config.transformer_layers):
            gathered = self.blocks * (key_products @ layer_map @ self.value)  # K_aᵀ V_a of all heads [d, d]
            messages = self.maps(layer, side, hyperedges @ gathered)  # Λ [H, d]
            values = messages @ self.value  # [H, d]
            layer_map = self.key @ (self.blocks * (hyperedges.T @ values))  # C_l [d, d]
            total = total + layer_map
        return total

    def _solidity_task(self, theta_users: Tensor, theta_items: Tensor) -> Tensor:
        """Σ max(0, 1 - κ (ŝ_e - ŝ_f) (s_e - s_f)) over S / 2 random pairs (e, f) of training interactions.

        ŝ is the score by Θ, and s is the solidity.
        """
        interactions = self.graph.to_users
        count = len(interactions.indices)
        drawn = torch.randint(count, (_even(self.config.sample_rate * count),), device=theta_users.device)  # [S]
        users = interactions.rows[drawn]
        items = interactions.indices[drawn].long()
        scores = (take_rows(theta_users, users) * take_rows(theta_items, items)).sum(1)  # ŝ [S]
        solidity = self._solidity(theta_users, theta_items, users, items)  # s [S]
        agreement = self.config.solidity_scale * _differences(scores) * _differences(solidity)  # [S / 2]
        return F.relu(1 - agreement).sum()

    def _solidity(self, theta_users: Tensor, theta_items: Tensor, users: Tensor, items: Tensor) -> Tensor:
        """s = σ(ρ w + w_0) of interactions `[S]`, where ρ = φ([μ_U ‖ μ_I] T + t) + μ_U + μ_I."""
        user_rows = distinct_rows(users, self.num_users)
        item_rows = distinct_rows(items, self.num_items)
        user_meta = self._meta(take_rows(theta_users, user_rows.rows), self.user_hyperedges)  # μ_U [n_U, d]
        item_meta = self._meta(take_rows(theta_items, item_rows.rows), self.item_hyperedges)  # μ_I [n_I, d]
        user_mix, item_mix = self.mix.chunk(2)  # both halves of T [d, d]
        # Products with T and w are linear, so each node is multiplied once, even if it was drawn several times.
        mixed_users = take_rows(user_meta @ user_mix, user_rows.inverse)  # [S, d]
        mixed_items = take_rows(item_meta @ item_mix, item_rows.inverse)  # [S, d]
        skip_users = take_rows(user_meta @ self.readout, user_rows.inverse).squeeze(1)  # μ_U w [S]
        skip_items = take_rows(item_meta @ self.readout, item_rows.inverse).squeeze(1)  # μ_I w [S]
        mixed = F.leaky_relu(self.mix_bias + mixed_users + mixed_items, self.config.slope)  # [S, d]
        skip = self.readout_bias + skip_users + skip_items  # [S]
        return torch.sigmoid((mixed @ self.readout).squeeze(1) + skip)

    def _meta(self, theta: Tensor, hyperedges: Tensor) -> Tensor:
        """μ = φ(K W_m + b_m) of nodes `[n, d]`, where the mean hyperedge generates W_m and b_m."""
        centre = hyperedges.mean(0)  # [d]
        weight = (centre @ self.meta_weight + self.meta_weight_bias).view(len(centre), -1)  # W_m [d, d]
        bias = centre @ self.meta_bias + self.meta_bias_bias  # b_m [d]
        return F.leaky_relu(theta @ (self.key @ weight) + bias, self.config.slope)


class SHTLight(_SHTBase):
    """Propagated embeddings and a learned hypergraph, trained to rank random user-item pairs in the same order.

    This is SHT as the authors' later PyTorch program computes it, without attention and meta-network. The embeddings of
    the hypergraph, Ψ = Θ Pᵀ P, are the final ones. Ψ is trained with Θ held constant, so no loss of Ψ changes the
    tables and no loss of Θ changes the hyperedges. `light_loss` in tests/models/test_sht.py is the same on full
    matrices.
    """

    name = "SHT-light"
    cost = (
        "2 E d per propagation layer, 2 H d² for Pᵀ P with the hyperedges P [H, d] of users and of items; "
        "B d² + S d² for B triplets and S random pairs"
    )
    Config = SHTLightConfig
    config: SHTLightConfig

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        theta_users, theta_items = self._topology()
        user_map, item_map = self._final_maps(theta_users, theta_items)
        metric = user_map @ item_map.T  # <ψ_u, ψ_i> = θ_u metric θ_iᵀ [d, d]
        users, positives, negatives = triplet_rows(theta_users, theta_items, batch)  # each [B, d]
        squares = sum_of_squares(self.user_table, self.item_table, self.user_hyperedges, self.item_hyperedges)
        return {
            "topology": bpr(users, positives, negatives),
            "bpr": bpr(users.detach() @ metric, positives.detach(), negatives.detach()),
            "regulariser": self.config.regulariser * squares,
            "alignment": self._alignment(theta_users, theta_items, metric),
        }

    def _final_maps(self, theta_users: Tensor, theta_items: Tensor) -> tuple[Tensor, Tensor]:
        user_map = self.user_hyperedges.T @ self.user_hyperedges
        item_map = self.item_hyperedges.T @ self.item_hyperedges
        return user_map, item_map

    def _alignment(self, theta_users: Tensor, theta_items: Tensor, metric: Tensor) -> Tensor:
        """λ_a CE(q, p) + λ_b CE(p, q), where the first argument of the cross-entropy is a constant target.

        S / 2 times, two random user-item pairs are compared: p and q are the probabilities that the first one scores
        higher, by Ψ and by Θ.
        """
        interactions = len(self.graph.to_users.indices)
        size = _even(self.config.sample_rate * 2 * interactions)  # S
        device = metric.device
        users = take_rows(theta_users, torch.randint(self.num_users, (size,), device=device))  # [S, d]
        items = take_rows(theta_items, torch.randint(self.num_items, (size,), device=device))  # [S, d]
        by_topology = _differences((users * items).sum(1)) / self.config.temperature  # logits of q [S / 2]
        mapped_users = users.detach() @ metric  # [S, d]
        by_hyperedges = _differences((mapped_users * items.detach()).sum(1)) / self.config.temperature  # logits of p
        hyperedge_loss = F.binary_cross_entropy_with_logits(by_hyperedges, by_topology.detach().sigmoid())
        topology_loss = F.binary_cross_entropy_with_logits(by_topology, by_hyperedges.detach().sigmoid())
        weighted = self.config.supervision_weight * hyperedge_loss
        return weighted + self.config.topology_supervision_weight * topology_loss


def _even(samples: float) -> int:
    """The number of samples to draw: at least 2, and an odd number rounded up."""
    count = int(samples)
    return max(2, count + count % 2)


def _differences(values: Tensor) -> Tensor:
    """The first half of the values minus the second, `[S]` to `[S / 2]`."""
    first, second = values.chunk(2)
    return first - second
