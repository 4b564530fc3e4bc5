"""LUDP.

Lei, Cao, Yang, Ding, Zhang. "Learning the User's Deeper Preferences for Multi-modal Recommendation Systems." ACM TOMM
19(3s), 2023. There is no public code: what the paper leaves open is settled here, and said where it is.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from prismrec.graph import BipartiteGraph, mean_over_items
from prismrec.models.base import ModelConfig, Recommender
from prismrec.nn import bpr, half_squares, layer_sum, normal_table, take_rows, triplet_rows, xavier_normal_table
from prismrec.nn.fusion import AttentionFusion
from prismrec.nn.item_graph import SimilarityGraphs
from prismrec.types import Embeddings, Interactions, Triplets

FusionName = Literal["attention", "sum", "concat"]


class LUDPConfig(ModelConfig):
    """Hyperparameters of LUDP (defaults: within the paper's grids) and the switches of its ablations."""

    batch_size: PositiveInt = 1024
    """Training pairs per step, B."""
    learning_rate: PositiveFloat = 1e-3
    """Step size of Adam."""
    layers: NonNegativeInt = 2
    """Layers L on the user-item graph."""
    item_layers: PositiveInt = 1
    """Layers on the item graphs; only the last is read. The paper's best: 1 on TikTok, 2 on MovieLens."""
    neighbours: PositiveInt = 10
    """Neighbours k that each item keeps per modality, itself among them."""
    item_graphs: bool = True
    """Whether items are enriched by their neighbours; off: without the item-item similarity graphs."""
    user_preferences: bool = True
    """Whether users are enriched by the features of their items; off: without the user preference graph."""
    fusion: FusionName = "attention"
    """How modalities are fused on both sides: attention, their sum, or a linear layer on their concatenation."""
    train_features: bool = True
    """Whether features are fine-tuned, as the paper says; the item graphs stay those of the first values."""
    regulariser: NonNegativeFloat = 1e-4
    """λ, for ½ Σ ‖X‖² / B on the ID rows of the batch."""


class LUDP(Recommender):
    """LightGCN, plus item IDs averaged over similar items and users' mean item features, each fused over modalities."""

    paper = "Lei et al., ACM TOMM 2023"
    cost = "2 E d L to propagate, M k I d per item layer, I Σ F_m d + M E d for the preferences of users"
    min_modalities = 1
    Config = LUDPConfig
    config: LUDPConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: LUDPConfig) -> None:
        super().__init__(train, features, config)
        d, M = config.embedding_size, len(self.features)
        self.user_table = normal_table(self.num_users, d)  # P [U, d]
        self.item_table = normal_table(self.num_items, d)  # Q [I, d]
        self.graph = BipartiteGraph(train)
        if config.item_graphs:
            self.similar = SimilarityGraphs(self.features, config.neighbours)  # [I, I]
            self.item_fusion = _Fusion(config.fusion, d, M)
        if config.user_preferences:
            self.mean = mean_over_items(train)  # [U, I]
            self.tables = nn.ParameterList(x.clone() for x in self.features) if config.train_features else self.features
            self.extract = nn.ParameterList(xavier_normal_table(width, d) for width in self.features.widths)  # W₁ᵀ
            self.to_ids = nn.ParameterList(xavier_normal_table(d, d) for _ in range(M))  # W₂ᵀ [d, d]
            self.user_fusion = _Fusion(config.fusion, d, M)

    def embed(self) -> Embeddings:
        return Embeddings(*self._final(slice(None), slice(None)))

    def loss(self, batch: Triplets) -> dict[str, Tensor]:
        users, items = self._final(batch.users, batch.items)
        penalty = self.config.regulariser * half_squares(*triplet_rows(self.user_table, self.item_table, batch))
        return {"bpr": bpr(users, *items.split(len(batch))), "regulariser": penalty}

    def _final(self, users: Tensor | slice, items: Tensor | slice) -> tuple[Tensor, Tensor]:
        """E_u + P_u and E_i + H_i of the given rows, where E is a sum over layers, not a mean (Eqs. 1-2, 13)."""
        all_users, all_items = layer_sum(self.graph, self.user_table, self.item_table, self.config.layers)
        final_users, final_items = take_rows(all_users, users), take_rows(all_items, items)
        if self.config.user_preferences:
            final_users = final_users + self.user_fusion(self._preferences(users))
        if self.config.item_graphs:
            final_items = final_items + self.item_fusion(self._item_views(items))
        return final_users, final_items

    def _item_views(self, rows: Tensor | slice) -> list[Tensor]:
        """h^m of the given items, `[n, d]` each (Eqs. 3-5).

        Eq. 5 as printed drops Eq. 4's weights and one of two degrees, so that signals grow by √k per layer; here the
        graph is normalised as in LATTICE, whose operator it cites.
        """
        views = []
        for graph in self.similar:
            nodes: Tensor = self.item_table  # [I, d]
            for _ in range(self.config.item_layers):
                nodes = graph(nodes)
            views.append(take_rows(nodes, rows))
        return views

    def _preferences(self, rows: Tensor | slice) -> list[Tensor]:
        """p̂^m of the given users, `[n, d]` each (Eqs. 9-11)."""
        extracted = [table @ weight for table, weight in zip(self.tables, self.extract, strict=True)]  # [I, d]
        means = take_rows(self.mean(torch.cat(extracted, 1)), rows).split(self.config.embedding_size, 1)  # M of [n, d]
        preferences = [F.leaky_relu(mean) for mean in means]
        own = take_rows(self.user_table, rows)
        return [F.leaky_relu(p @ weight) + own for p, weight in zip(preferences, self.to_ids, strict=True)]


class _Fusion(nn.Module):
    """M views `[n, d]` of the same rows to one (Eqs. 6-8, 12); with one modality, attention is the view itself."""

    def __init__(self, name: FusionName, width: int, modalities: int) -> None:
        super().__init__()
        self.attention = AttentionFusion(width, modalities) if name == "attention" and modalities > 1 else None
        self.joint = nn.Linear(modalities * width, width) if name == "concat" else None
        # The paper says "Gaussian" and no more: Xavier's deviation, biases 0.
        for key, parameter in self.named_parameters():
            if key.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.xavier_normal_(parameter if parameter.ndim == 2 else parameter[None])

    def forward(self, views: Sequence[Tensor]) -> Tensor:
        if self.attention is not None:
            return self.attention(views)
        return self.joint(torch.cat(list(views), 1)) if self.joint is not None else torch.stack(list(views)).sum(0)
