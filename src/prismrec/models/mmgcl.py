"""MMGCL.

Yi, Wang, Ounis, Macdonald. "Multi-Modal Graph Contrastive Learning for Micro-video Recommendation." SIGIR 2022.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat
from torch import Tensor, nn

from prismrec.graph import keep_edges, keep_nodes
from prismrec.models.base import ModelConfig, Recommender
from prismrec.nn import Features, in_batch_info_nce, layer_mean_of_items
from prismrec.nn.channels import ChannelEncoder, Channels
from prismrec.types import Embeddings, Interactions, Triplets

_BPR_FLOOR = 1e-5
"""ε in -ln(ε + σ(Δ)), as in the official code."""


class MMGCLConfig(ModelConfig):
    """Hyperparameters of MMGCL."""

    weight_decay: NonNegativeFloat = 1e-4
    """L2 penalty that Adam adds to every gradient; the model has no other regulariser."""
    layers: NonNegativeInt = 3
    """Propagation layers L of every channel."""
    contrast_weight: NonNegativeFloat = 0.4
    """α, weight of the contrast."""
    temperature: PositiveFloat = 0.2
    """τ of the contrast."""
    drop_rate: float = Field(0.05, ge=0, lt=1)
    """ρ, share of interactions dropped in the first view, and of users and of items under mask `node_drop`."""
    mask_probabilities: tuple[PositiveFloat, ...] = ()
    """How often each modality is the masked one, in the order of modalities; empty: equally often."""
    mask: Literal["random_feature", "node_drop"] = "random_feature"
    """The second view's modality: `random_feature` gives it random items; `node_drop`, the official code, drops users
    and items from its graph."""
    variant: Literal["paper", "user_item", "official"] = "paper"
    """What is contrasted. `paper`: the two views of a user and of an item, whose candidates include its hard negative;
    `user_item`: user with item in each view, less user with hard negatives; `official`: user with item in view
    1, twice; the official code computes the masked view and the hard negatives too, but adds neither."""


class _Draws(NamedTuple):
    """What a step draws."""

    kept: Tensor  # bool [E], the interactions of view 1
    masked: Tensor  # m*, int64 [1], channel 1..M masked in view 2
    swapped: Tensor  # m', int64 [1], channel 1..M taken from the negative item in the hard negative
    noise: Tensor | None  # Ξ [I, d], the masked channel's items; absent with node_drop
    connected: Tensor | None  # bool [E], the masked channel's interactions; absent with random_feature


class MMGCL(Recommender):
    """A LightGCN per modality, contrasted between dropped edges and a masked modality, with one-modality negatives."""

    mask_probabilities: Tensor

    name = "MMGCL"
    paper = "Yi et al., SIGIR 2022"
    cost = "I Σ F_m d to project, E d (2 M + 5) L to propagate, 2 B² d to contrast"
    min_modalities = 1
    bf16_features = True
    repeats_steps = True
    Config = MMGCLConfig
    config: MMGCLConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: MMGCLConfig) -> None:
        super().__init__(train, features, config)
        modalities = Features(features)
        self.modalities = len(modalities)
        if config.mask_probabilities and len(config.mask_probabilities) != self.modalities:
            raise ValueError(f"{len(config.mask_probabilities)} mask_probabilities for {self.modalities} modalities")
        self.encoder = ChannelEncoder(train, modalities, config.embedding_size, config.layers)
        probabilities = torch.tensor(config.mask_probabilities or [1.0] * self.modalities)
        self.register_buffer("mask_probabilities", probabilities, persistent=False)

    def embed(self) -> Embeddings:
        return self.encoder.embed()

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        return self._loss(batch, self._draw())

    def _draw(self) -> _Draws:
        """One draw per step, shared by all channels."""
        graph, rate = self.encoder.graph, self.config.drop_rate
        noise = connected = None
        if self.config.mask == "node_drop":
            connected = keep_nodes(graph, rate)
        else:
            noise = nn.init.xavier_uniform_(torch.empty_like(self.encoder.item_table))
        # The largest p / Exp(1) is a draw from p, as in torch.multinomial, for whose checks a host waits for its GPU.
        masked = (self.mask_probabilities / torch.empty_like(self.mask_probabilities).exponential_()).argmax(0, True)
        swapped = torch.randint(self.modalities, (1,), device=masked.device)
        return _Draws(keep_edges(graph, rate), 1 + masked, 1 + swapped, noise, connected)

    def _loss(self, batch: Triplets, draws: _Draws) -> dict[str, Tensor]:
        inputs = self.encoder.inputs()  # C [I, M + 1, d]
        channels = self.encoder.propagate(inputs)
        users, items = channels.users(batch.users), channels.items(batch.positives)  # H [B, M + 1, d]
        negatives = self.encoder.fuse_items(channels.items(batch.negatives))  # [B, d]
        margins = (self.encoder.fuse_users(users) * (self.encoder.fuse_items(items) - negatives)).sum(1)  # Δ [B]
        terms = {"bpr": -(_BPR_FLOOR + margins.sigmoid()).log().mean()}
        if self.config.contrast_weight:
            terms["contrast"] = self.config.contrast_weight * self._contrast(inputs, channels, batch, draws)
        return terms

    def _contrast(self, inputs: Tensor, channels: Channels, batch: Triplets, draws: _Draws) -> Tensor:
        """View 1, fewer interactions, with view 2, one modality masked; everything `[B, d]` once fused."""
        temperature = self.config.temperature
        dropped = self.encoder.propagate(inputs, self.encoder.graph.subgraph(draws.kept))
        items = dropped.items(batch.positives)  # [B, M + 1, d]
        users1, items1 = self.encoder.unit_fused(dropped.users(batch.users), items)  # X¹
        if self.config.variant == "official":
            return 2 * in_batch_info_nce(users1, items1, temperature, cosines=True)
        swapped = torch.where(self._is(draws.swapped), dropped.items(batch.negatives), items)
        hard = F.normalize(self.encoder.fuse_items(swapped))  # Y
        masked, replaced = self._is(draws.masked), self._masked_channel(inputs, channels, draws)
        users2, items2 = self.encoder.unit_fused(  # X²: unmasked channels are those of the full graph
            torch.where(masked, replaced.users(batch.users), channels.users(batch.users)),
            torch.where(masked, replaced.items(batch.positives), channels.items(batch.positives)),
        )
        if self.config.variant == "paper":
            return in_batch_info_nce(users1, users2, temperature) + in_batch_info_nce(items1, items2, temperature, hard)
        agreement = in_batch_info_nce(users1, items1, temperature) + in_batch_info_nce(users2, items2, temperature)
        return agreement - in_batch_info_nce(users1, hard, temperature)

    def _masked_channel(self, inputs: Tensor, channels: Channels, draws: _Draws) -> Channels:
        """The one channel that stands in for the masked one in view 2."""
        graph = self.encoder.graph
        if draws.connected is not None:
            return self.encoder.propagate(inputs.index_select(1, draws.masked), graph.subgraph(draws.connected))
        assert draws.noise is not None
        users, items = layer_mean_of_items(graph, draws.noise, self.config.layers)
        return Channels(channels.users_from_users, channels.items_from_users, users.unsqueeze(1), items.unsqueeze(1))

    def _is(self, channel: Tensor) -> Tensor:
        return (torch.arange(self.modalities + 1, device=self.encoder.item_table.device) == channel).unsqueeze(1)
