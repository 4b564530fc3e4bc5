"""MICRO.

Zhang, Zhu, Liu, Zhang, Wu, Wang. "Latent Structure Mining with Contrastive Modality Fusion for Multimedia
Recommendation." IEEE TKDE 35(9), 2023.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from prismrec.graph import NeighbourSearch
from prismrec.models.base import Recommender
from prismrec.models.item_graph_config import ItemGraphConfig
from prismrec.nn import bpr_and_squares, info_nce, take_rows, xavier_table
from prismrec.nn.backbone import Backbone
from prismrec.nn.fusion import AttentionFusion
from prismrec.nn.item_graph import GraphSum, OncePerEpoch, Projections, SimilarityGraphs
from prismrec.nn.normalise import unit_rows
from prismrec.types import Embeddings, Interactions, Triplets


class MICROConfig(ItemGraphConfig):
    """Hyperparameters of MICRO and the switches of its tables."""

    sampler: Literal["interaction", "user"] = "user"
    """`interaction`: every training pair once per epoch; `user`: users uniformly, then one of their items."""
    contrast_weight: NonNegativeFloat = 0.03
    """Weight β of the contrast between each modality and the fusion."""
    temperature: PositiveFloat = 0.5
    """Temperature τ of the contrast."""


class _Items(NamedTuple):
    """All items, before the backbone's vectors are added."""

    views: Sequence[Tensor]  # h^m [I, d], one per modality
    fused: Tensor  # h [I, d]


class MICRO(Recommender):
    """LATTICE with a graph per modality, fused by attention after convolution and contrasted with the fusion."""

    paper = "Zhang et al., IEEE TKDE 2023"
    cost = (
        "2 M I² d for the contrast, 2 E d L for the backbone, 2 M k I d per item layer; once per epoch I² M d to learn"
    )
    min_modalities = 1
    Config = MICROConfig
    config: MICROConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: MICROConfig) -> None:
        super().__init__(train, features, config)
        d = config.embedding_size
        self.user_table = xavier_table(self.num_users, d)  # P [U, d]
        self.item_table = xavier_table(self.num_items, d)  # Q [I, d]
        self.backbone = Backbone(config.backbone, train, d, config.layers, config.interaction_graph, config.dropout)
        self.frozen = SimilarityGraphs(self.features, config.neighbours)  # S̃^m [I, I]
        self.projections = (
            Projections(self.features, d, train_features=config.train_features)
            if config.inputs == "features" or config.skip < 1
            else None
        )
        self.fusion = AttentionFusion(d) if len(self.features) > 1 else None
        self.searches = [NeighbourSearch(config.neighbours) for _ in self.features]
        self.graphs = OncePerEpoch()

    def start_epoch(self, epoch: int, generator: torch.Generator) -> None:
        self.graphs.start_epoch()

    def drifting_parameters(self) -> Iterable[nn.Parameter]:
        if self.config.graph_updates == "lazy" or self.config.inputs == "features" or self.projections is None:
            return ()  # features as input have a gradient at every step
        return self.projections.parameters()

    def embed(self) -> Embeddings:
        return Embeddings(*self._final(self._items(), slice(None), slice(None)))

    def loss(self, batch: Triplets) -> dict[str, Tensor]:
        latent = self._items()
        ranking, squares = bpr_and_squares(*self._final(latent, batch.users, batch.items))
        fill = len(batch) / self.config.batch_size  # the last batch of an epoch may be short, its divisor is not
        terms = {"bpr": ranking, "regulariser": self.config.regulariser * fill * squares}
        if self.config.contrast_weight:
            contrasts = [fusion_contrast(view, latent.fused, self.config.temperature) for view in latent.views]
            terms["contrast"] = self.config.contrast_weight * torch.stack(contrasts).sum()
        return terms

    def _items(self) -> _Items:
        """Convolution on each modality's graph, then attention."""
        views: list[Tensor] = [self.item_table] * len(self.features)  # h^{m,0} [I, d]
        if self.config.inputs == "features":
            assert self.projections is not None
            views = self.projections()
        graphs = self.graphs(self._mine, training=self.training)
        for _ in range(self.config.item_layers):
            views = [graph(view) for graph, view in zip(graphs, views, strict=True)]
        return _Items(views, self.fusion(views) if self.fusion else views[0])

    def _mine(self) -> list[GraphSum]:
        """λ S̃^m + (1 - λ) Ã^m for each modality, differentiable in W, b and X at the entries kept."""
        skip = self.config.skip
        terms = [[(graph, skip * graph.values)] for graph in self.frozen]
        if skip < 1:
            assert self.projections is not None
            for modality, search, projected in zip(terms, self.searches, self.projections(), strict=True):
                learned = search(projected, training=self.training)
                modality.append((learned.pattern, (1 - skip) * learned.normalised()))
        return [GraphSum(modality) for modality in terms]

    def _final(self, latent: _Items, users: Tensor | slice, items: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Users of the backbone and items of the backbone plus h / ‖h‖, of the given rows."""
        all_users, all_items = self.backbone(self.user_table, self.item_table)
        return take_rows(all_users, users), take_rows(all_items, items) + unit_rows(take_rows(latent.fused, items))


def fusion_contrast(view: Tensor, fused: Tensor, temperature: float) -> Tensor:
    """InfoNCE of each item in a modality's view against itself in the fusion, mean over all items.

    The negatives are all other items, in the view and in the fusion alike: with c cosines / τ,
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
