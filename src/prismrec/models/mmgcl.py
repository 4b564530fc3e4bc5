"""MMGCL.

Yi, Wang, Ounis, Macdonald. "Multi-Modal Graph Contrastive Learning for Micro-video Recommendation." SIGIR 2022.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from prismrec.graph import keep_edges, keep_nodes
from prismrec.models.base import Grid, Layers, ModelConfig, Recommender, Temperature
from prismrec.nn import Features
from prismrec.nn.channels import ChannelEncoder, Channels
from prismrec.nn.contrast import in_batch_info_nce
from prismrec.nn.propagation import layer_mean_of_items
from prismrec.types import Embeddings, Interactions, Triplets

_BPR_FLOOR = 1e-5
"""ε in -ln(ε + σ(Δ)), as in the official code."""


class MMGCLConfig(ModelConfig):
    """Hyperparameters of MMGCL, with the numbers of the official settings. The grid is ours."""

    weight_decay: Annotated[NonNegativeFloat, Grid(1e-6, 1e-5, 1e-4)] = 1e-4
    """L2 penalty that Adam adds to every gradient. The model has no other regulariser."""
    layers: Layers = 3
    """Propagation layers L of every channel."""
    contrast_weight: Annotated[NonNegativeFloat, Grid(0.04, 0.1, 0.4)] = 0.4
    """Weight α of the contrast."""
    temperature: Annotated[Temperature, Grid(0.1, 0.2, 0.5)] = 0.2
    """Temperature τ of the contrast."""
    drop_rate: float = Field(0.05, ge=0, lt=1)
    """Share ρ of interactions dropped in the first view. With mask `node_drop`, also the share of users and of items
    dropped in the second view."""
    mask_probabilities: tuple[PositiveFloat, ...] = ()
    """Relative frequency with which each modality is masked, in the order of the modalities. Empty means equal."""
    mask: Literal["random_feature", "node_drop"] = "random_feature"
    """How the second view masks a modality. `random_feature`: its items become random vectors; `node_drop`, as in the
    official code: its graph loses some users and items."""
    variant: Literal["paper", "user_item", "official"] = "paper"
    """Which pairs are contrasted. `paper`: the two views of each user and of each item, whose candidates include a hard
    negative; `user_item`: users with items in each view, minus users with hard negatives; `official`: users with items
    in view 1, counted twice. The official code computes view 2 and the hard negatives as well but does not use them."""


class _Draws(NamedTuple):
    """The random choices of one step, shared by all channels."""

    kept: Tensor  # interactions of view 1, bool [E]
    masked: Tensor  # m*, the channel 1..M masked in view 2, int64 [1]
    swapped: Tensor  # m', the channel 1..M that hard negatives take from the negative item, int64 [1]
    noise: Tensor | None  # Ξ, item inputs of the masked channel [I, d]; only with random_feature
    connected: Tensor | None  # interactions of the masked channel, bool [E]; only with node_drop


class MMGCL(Recommender):
    """One LightGCN per modality, with a contrastive loss between two views: dropped interactions and a masked modality.

    Its steps, with channels k = 0..M for the item IDs and the M modalities:

    - propagation of each channel, H_k = LG([P; C_k]), and the readout of all channels: `ChannelEncoder`;
    - view 1, all channels on fewer interactions, and view 2, one channel masked: `_contrast`, `_masked_channel`;
    - hard negatives, items with one channel taken from the negative item: `_hard_negatives`;
    - losses: `_loss`, `_contrast`.

    View 2 shares its other channels with the main propagation. `dense_loss` in tests/models/test_mmgcl.py propagates
    every channel of every view.
    """

    name = "MMGCL"
    paper = "Yi et al., SIGIR 2022"
    cost = "I Σ F_m d to project, E d (2 M + 5) L to propagate, 2 B² d to contrast"
    min_modalities = 1
    bf16_features = True
    repeats_steps = True
    Config = MMGCLConfig
    config: MMGCLConfig
    mask_probabilities: Tensor

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: MMGCLConfig) -> None:
        """Build the encoder.

        Raises:
            ValueError: `mask_probabilities` does not have a value per modality.
        """
        super().__init__(train, features, config)
        self.modalities = len(features)
        given = len(config.mask_probabilities)
        if given not in (0, self.modalities):
            raise ValueError(f"mask_probabilities has {given} values for {self.modalities} modalities")
        self.encoder = ChannelEncoder(train, Features(features), config.embedding_size, config.layers)
        probabilities = torch.tensor(config.mask_probabilities or [1.0] * self.modalities)
        self.register_buffer("mask_probabilities", probabilities, persistent=False)  # [M]

    def embed(self) -> Embeddings:
        return self.encoder.embed()

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        return self._loss(batch, self._draw())

    def _draw(self) -> _Draws:
        """The random choices of a step."""
        graph = self.encoder.graph
        drop_rate = self.config.drop_rate
        noise = None
        connected = None
        if self.config.mask == "node_drop":
            connected = keep_nodes(graph, drop_rate)
        else:
            noise = nn.init.xavier_uniform_(torch.empty_like(self.encoder.item_table))
        # The index of the largest p / Exp(1) is a draw from p. torch.multinomial would make the host wait to check p.
        exponential = torch.empty_like(self.mask_probabilities).exponential_()
        masked = (self.mask_probabilities / exponential).argmax(0, keepdim=True)  # a modality 0..M-1
        swapped = torch.randint(self.modalities, (1,), device=masked.device)
        return _Draws(keep_edges(graph, drop_rate), 1 + masked, 1 + swapped, noise, connected)

    def _loss(self, batch: Triplets, draws: _Draws) -> dict[str, Tensor]:
        inputs = self.encoder.inputs()  # C [I, M + 1, d]
        channels = self.encoder.propagate(inputs)
        user_channels = channels.users(batch.users)  # H [B, M + 1, d]
        item_channels = channels.items(batch.positives)
        negatives = self.encoder.fuse_items(channels.items(batch.negatives))  # [B, d]
        users = self.encoder.fuse_users(user_channels)
        items = self.encoder.fuse_items(item_channels)
        margins = (users * (items - negatives)).sum(1)  # Δ [B]
        terms = {"bpr": -(_BPR_FLOOR + margins.sigmoid()).log().mean()}
        if self.config.contrast_weight:
            terms["contrast"] = self.config.contrast_weight * self._contrast(inputs, channels, batch, draws)
        return terms

    def _contrast(self, inputs: Tensor, channels: Channels, batch: Triplets, draws: _Draws) -> Tensor:
        """The contrast of the two views, without its weight."""
        temperature = self.config.temperature
        first = self.encoder.propagate(inputs, self.encoder.graph.subgraph(draws.kept))  # view 1
        first_item_channels = first.items(batch.positives)  # [B, M + 1, d]
        users1, items1 = self.encoder.unit_fused(first.users(batch.users), first_item_channels)  # X¹ [B, d]
        if self.config.variant == "official":
            return 2 * in_batch_info_nce(users1, items1, temperature, cosines=True)
        hard = self._hard_negatives(first.items(batch.negatives), first_item_channels, draws)  # Y [B, d]
        # In view 2, the channels that are not masked are those of the full graph.
        is_masked = self._is_channel(draws.masked)  # [M + 1, 1]
        masked = self._masked_channel(inputs, channels, draws)
        second_user_channels = torch.where(is_masked, masked.users(batch.users), channels.users(batch.users))
        second_item_channels = torch.where(is_masked, masked.items(batch.positives), channels.items(batch.positives))
        users2, items2 = self.encoder.unit_fused(second_user_channels, second_item_channels)  # X² [B, d]
        if self.config.variant == "paper":
            user_term = in_batch_info_nce(users1, users2, temperature)
            return user_term + in_batch_info_nce(items1, items2, temperature, hard)
        first_term = in_batch_info_nce(users1, items1, temperature)
        second_term = in_batch_info_nce(users2, items2, temperature)
        return first_term + second_term - in_batch_info_nce(users1, hard, temperature)

    def _hard_negatives(self, negatives: Tensor, items: Tensor, draws: _Draws) -> Tensor:
        """Items of view 1 `[B, M + 1, d]` with one channel of their negatives, fused, rows of length 1, `[B, d]`."""
        swapped = torch.where(self._is_channel(draws.swapped), negatives, items)
        return F.normalize(self.encoder.fuse_items(swapped))

    def _masked_channel(self, inputs: Tensor, channels: Channels, draws: _Draws) -> Channels:
        """The single channel that replaces the masked one in view 2."""
        graph = self.encoder.graph
        if draws.connected is not None:
            masked_inputs = inputs.index_select(1, draws.masked)  # [I, 1, d]
            return self.encoder.propagate(masked_inputs, graph.subgraph(draws.connected))
        assert draws.noise is not None
        users, items = layer_mean_of_items(graph, draws.noise, self.config.layers)
        return Channels(channels.users_from_users, channels.items_from_users, users.unsqueeze(1), items.unsqueeze(1))

    def _is_channel(self, channel: Tensor) -> Tensor:
        """Whether each channel 0..M is the given one, bool `[M + 1, 1]`."""
        numbers = torch.arange(self.modalities + 1, device=channel.device)
        return (numbers == channel).unsqueeze(1)
