"""LUDP.

Lei, Cao, Yang, Ding, Zhang. "Learning the User's Deeper Preferences for Multi-modal Recommendation Systems." ACM TOMM
19(3s), 2023. There is no public code. Comments name the choices that the paper leaves open.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from prismrec.graph import BipartiteGraph
from prismrec.models.base import BatchSize, Grid, Layers, ModelConfig, PositiveCount, PositiveLayers, Recommender
from prismrec.nn import AttentionFusion, Features, bpr, half_squares, layer_sum, normal_table, xavier_normal_table
from prismrec.nn.item_graphs import SimilarityGraphs
from prismrec.ops import take_rows, triplet_rows
from prismrec.types import Embeddings, Interactions, Triplets

FusionName = Literal["attention", "sum", "concat"]


class LUDPConfig(ModelConfig):
    """Hyperparameters of LUDP, with the grid of the paper and defaults from it, and the switches of its ablations."""

    batch_size: Annotated[BatchSize, Grid(128, 256, 512, 1024)] = 1024
    """Training pairs per step, B."""
    learning_rate: Annotated[PositiveFloat, Grid(1e-4, 5e-4, 1e-3, 5e-3, 1e-2)] = 1e-3
    """Learning rate of Adam."""
    layers: Layers = 2
    """Layers L of the user-item graph."""
    item_layers: PositiveLayers = 1
    """Layers of the item graphs, of which the last is used. The paper's best: 1 on TikTok, 2 on MovieLens."""
    neighbours: Annotated[PositiveCount, Grid(5, 10, 20, 50)] = 10
    """Neighbours k per item and modality, the item itself among them."""
    item_graphs: bool = True
    """Enrich items by their neighbours. False is the ablation without item-item similarity graphs."""
    user_preferences: bool = True
    """Enrich users by the features of their items. False is the ablation without the user preference graph."""
    fusion: FusionName = "attention"
    """How users and items fuse modalities: attention, the sum, or a linear layer on the concatenation."""
    train_features: bool = True
    """Whether features are fine-tuned, as the paper says. The item graphs stay those of the initial features."""
    regulariser: Annotated[NonNegativeFloat, Grid(0.0, 1e-5, 1e-4, 1e-3, 1e-2, 0.1)] = 1e-4
    """Weight λ of ½ Σ ‖X‖² / B over the ID rows of the batch."""


class LUDP(Recommender):
    """LightGCN, plus item IDs averaged over similar items and mean item features of users, each fused over modalities.

    Equation numbers are those of the paper: user-item graph (1-2), item graphs (3-5), their fusion (6-8), user
    preferences (9-11), their fusion (12), final embeddings (13), loss (15).
    """

    name = "LUDP"
    paper = "Lei et al., ACM TOMM 2023"
    cost = "2 E d L to propagate, M k I d per item layer, I Σ F_m d + M E d for the preferences of users"
    min_modalities = 1
    repeats_steps = True
    Config = LUDPConfig
    config: LUDPConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: LUDPConfig) -> None:
        super().__init__(train, features, config)
        modalities = Features(features)
        d, M = config.embedding_size, len(modalities)
        self.user_table = normal_table(self.num_users, d)  # P [U, d]
        self.item_table = normal_table(self.num_items, d)  # Q [I, d]
        self.graph = BipartiteGraph(train)
        if config.item_graphs:
            self.item_similarity = SimilarityGraphs(modalities, config.neighbours)  # [I, I]
            self.item_fusion = _Fusion(config.fusion, d, M)
        if config.user_preferences:
            self.mean_over_items = self.graph.mean_over_items()  # [U, I]
            self.tables = nn.ParameterList(x.clone() for x in modalities) if config.train_features else modalities
            self.extract = nn.ParameterList(xavier_normal_table(width, d) for width in modalities.widths)  # W₁ᵀ
            self.to_ids = nn.ParameterList(xavier_normal_table(d, d) for _ in range(M))  # W₂ᵀ [d, d]
            self.user_fusion = _Fusion(config.fusion, d, M)

    def embed(self) -> Embeddings:
        users, items = self._final(slice(None), slice(None))
        return Embeddings(users, items)

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        users, items = self._final(batch.users, batch.items)  # [B, d], [2 B, d]
        positives, negatives = items.split(len(batch))
        id_users, id_positives, id_negatives = triplet_rows(self.user_table, self.item_table, batch)
        penalty = half_squares(id_users, id_positives, id_negatives)
        return {"bpr": bpr(users, positives, negatives), "regulariser": self.config.regulariser * penalty}

    def _final(self, users: Tensor | slice, items: Tensor | slice) -> tuple[Tensor, Tensor]:
        """E_u + P_u and E_i + H_i of some rows, with E the sum over layers, not the mean (Eqs. 1-2, 13)."""
        all_users, all_items = layer_sum(self.graph, self.user_table, self.item_table, self.config.layers)
        final_users = take_rows(all_users, users)
        final_items = take_rows(all_items, items)
        if self.config.user_preferences:
            final_users = final_users + self.user_fusion(self._preferences(users))
        if self.config.item_graphs:
            final_items = final_items + self.item_fusion(self._item_views(items))
        return final_users, final_items

    def _item_views(self, rows: Tensor | slice) -> list[Tensor]:
        """h^m of some items, M × `[n, d]` (Eqs. 3-5).

        Eq. 5 as printed drops the weights of Eq. 4 and one of two degrees, so that values grow by √k per layer. Here
        the graph is normalised as in LATTICE, whose operator the paper cites.
        """
        views = []
        for graph in self.item_similarity:
            nodes: Tensor = self.item_table  # [I, d]
            for _ in range(self.config.item_layers):
                nodes = graph(nodes)
            views.append(take_rows(nodes, rows))
        return views

    def _preferences(self, rows: Tensor | slice) -> list[Tensor]:
        """p̂^m of some users, M × `[n, d]` (Eqs. 9-11). The mean over items comes after the linear map W₁."""
        extracted = [table @ weight for table, weight in zip(self.tables, self.extract, strict=True)]  # M × [I, d]
        means = self.mean_over_items(torch.cat(extracted, 1))  # [U, M d]
        means_by_modality = take_rows(means, rows).split(self.config.embedding_size, 1)  # M × [n, d]
        preferences = [F.leaky_relu(mean) for mean in means_by_modality]  # p^m
        ids = take_rows(self.user_table, rows)  # [n, d]
        return [F.leaky_relu(p @ weight) + ids for p, weight in zip(preferences, self.to_ids, strict=True)]


class _Fusion(nn.Module):
    """M views `[n, d]` of the same rows to one (Eqs. 6-8, 12). With one modality, attention returns the view itself."""

    def __init__(self, name: FusionName, width: int, modalities: int) -> None:
        super().__init__()
        self.attention = AttentionFusion(width, modalities) if name == "attention" and modalities > 1 else None
        self.joint = nn.Linear(modalities * width, width) if name == "concat" else None
        # The paper says "Gaussian" only. Here weights have Xavier's standard deviation and biases are 0.
        for key, parameter in self.named_parameters():
            if key.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.xavier_normal_(parameter if parameter.ndim == 2 else parameter[None])

    def forward(self, views: Sequence[Tensor]) -> Tensor:
        if self.attention is not None:
            return self.attention(views)
        if self.joint is not None:
            return self.joint(torch.cat(list(views), 1))
        return torch.stack(list(views)).sum(0)
