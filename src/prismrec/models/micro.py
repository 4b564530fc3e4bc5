"""MICRO.

Zhang, Zhu, Liu, Zhang, Wu, Wang. "Latent Structure Mining with Contrastive Modality Fusion for Multimedia
Recommendation." IEEE TKDE 35(9), 2023.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from prismrec.graph import NeighbourSearch
from prismrec.models.base import Recommender, SamplerName, Temperature
from prismrec.models.item_graph_config import ItemGraphConfig
from prismrec.nn import AttentionFusion, Features, bpr_and_squares, xavier_table
from prismrec.nn.backbone import Backbone
from prismrec.nn.item_graphs import GraphSum, OncePerEpoch, Projections, SimilarityGraphs
from prismrec.ops import info_nce, take_rows, unit_rows
from prismrec.types import Embeddings, Interactions, Triplets


class MICROConfig(ItemGraphConfig):
    """Hyperparameters of MICRO and the switches of its tables."""

    sampler: SamplerName = "user"
    """`interaction`: every training pair once per epoch; `user`: uniform users, then one of their items."""
    contrast_weight: NonNegativeFloat = 0.03
    """Weight β of the contrast of each modality with the fusion."""
    temperature: Temperature = 0.5
    """Temperature τ of the contrast."""


class _LatentItems(NamedTuple):
    """All items after propagation on the item graphs."""

    views: Sequence[Tensor]  # h^m, M × [I, d]
    fused: Tensor  # h [I, d]


class MICRO(Recommender):
    """LATTICE with one item graph per modality, fused by attention, and a contrastive loss with the fusion."""

    name = "MICRO"
    paper = "Zhang et al., IEEE TKDE 2023"
    cost = (
        "2 M I² d for the contrast, 2 E d L for the backbone, 2 M k I d per item layer; once per epoch I² M d to learn"
    )
    min_modalities = 1
    repeats_steps = True
    Config = MICROConfig
    config: MICROConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: MICROConfig) -> None:
        super().__init__(train, features, config)
        d = config.embedding_size
        modalities = Features(features)
        self.user_table = xavier_table(self.num_users, d)  # P [U, d]
        self.item_table = xavier_table(self.num_items, d)  # Q [I, d]
        self.backbone = Backbone(config.backbone, train, d, config.layers, config.interaction_graph, config.dropout)
        self.frozen = SimilarityGraphs(modalities, config.neighbours)  # S̃^m [I, I]
        self.projections = None
        if config.inputs == "features" or config.skip < 1:
            self.projections = Projections(modalities, d, train_features=config.train_features)
        self.fusion = AttentionFusion(d) if len(modalities) > 1 else None
        self.searches = [NeighbourSearch(config.neighbours) for _ in modalities]
        self.graphs = OncePerEpoch()

    def start_epoch(self, epoch: int, generator: torch.Generator) -> None:
        self.graphs.start_epoch()

    def drifting_parameters(self) -> Iterable[nn.Parameter]:
        if self.projections is None or not self.config.graph_weights_drift:
            return ()
        return self.projections.parameters()

    def embed(self) -> Embeddings:
        users, items = self._final(self._latent_items(), slice(None), slice(None))
        return Embeddings(users, items)

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        latent = self._latent_items()
        users, items = self._final(latent, batch.users, batch.items)  # [B, d], [2 B, d]
        ranking, squares = bpr_and_squares(users, items)
        fill = len(batch) / self.config.batch_size  # the official code divides a short last batch by batch_size too
        terms = {"bpr": ranking, "regulariser": self.config.regulariser * fill * squares}
        if self.config.contrast_weight:
            contrasts = [fusion_contrast(view, latent.fused, self.config.temperature) for view in latent.views]
            terms["contrast"] = self.config.contrast_weight * torch.stack(contrasts).sum()
        return terms

    def _latent_items(self) -> _LatentItems:
        """Propagate items on the graph of each modality, then fuse the modalities by attention."""
        views: list[Tensor] = [self.item_table] * len(self.frozen)  # h^{m,0}, M × [I, d]
        if self.config.inputs == "features":
            assert self.projections is not None
            views = self.projections()
        graphs = self.graphs(self._mine, training=self.training)
        for _ in range(self.config.item_layers):
            views = [graph(view) for graph, view in zip(graphs, views, strict=True)]
        return _LatentItems(views, self.fusion(views) if self.fusion else views[0])

    def _mine(self) -> list[GraphSum]:
        """λ S̃^m + (1 - λ) Ã^m of each modality, differentiable in W, b and X at the stored entries."""
        skip = self.config.skip
        terms = [[(graph, skip * graph.values)] for graph in self.frozen]
        if skip < 1:
            assert self.projections is not None
            projected = self.projections()  # X̃^m, M × [I, d]
            for modality, search, rows in zip(terms, self.searches, projected, strict=True):
                learned = search(rows, training=self.training)  # Â^m
                modality.append((learned.pattern, (1 - skip) * learned.normalised()))
        return [GraphSum(modality) for modality in terms]

    def _final(self, latent: _LatentItems, users: Tensor | slice, items: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Users x̃_u and items x̃_i + h_i / ‖h_i‖ of some rows, with x̃ from the backbone."""
        all_users, all_items = self.backbone(self.user_table, self.item_table)  # [U, d], [I, d]
        enriched = take_rows(all_items, items) + unit_rows(take_rows(latent.fused, items))
        return take_rows(all_users, users), enriched


def fusion_contrast(view: Tensor, fused: Tensor, temperature: float) -> Tensor:
    """InfoNCE of each item in the view of a modality with itself in the fusion, mean over all items.

    The negatives are all other items, both in the view and in the fusion. With c = cos / τ, the loss of item i is
    ln(Σ_{j≠i} exp(c(h^m_i, h^m_j)) + Σ_j exp(c(h^m_i, h_j))) - c(h^m_i, h_i).

    Args:
        view: h^m `[I, d]`.
        fused: h `[I, d]`.
        temperature: τ.
    """
    anchors = unit_rows(view)
    candidates = torch.cat([anchors, unit_rows(fused)])  # [2 I, d]
    own = torch.arange(len(view), device=view.device)
    mean = anchors.new_full((len(view),), 1 / len(view))
    return info_nce(anchors, candidates, own + len(view), temperature, mean, cosines=True, excluded=own)
