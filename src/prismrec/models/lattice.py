"""LATTICE.

Zhang, Zhu, Liu, Wu, Wang, Wang. "Mining Latent Structures for Multimedia Recommendation." ACM MM 2021.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from prismrec.graph import NeighbourSearch
from prismrec.models.base import Count, Recommender
from prismrec.models.item_graph_config import ItemGraphConfig
from prismrec.nn import Features, bpr_and_squares, xavier_table
from prismrec.nn.backbone import Backbone
from prismrec.nn.item_graphs import GraphSum, OncePerEpoch, Projections, SimilarityGraphs
from prismrec.ops import take_rows, unit_rows
from prismrec.types import Embeddings, Interactions, Triplets


class LATTICEConfig(ItemGraphConfig):
    """Hyperparameters of LATTICE and the switches of its tables."""

    neighbours: Count = 10
    """Neighbours k per item and modality, the item itself among them; 0 means no item graph."""
    inputs: Literal["ids", "features"] = "ids"
    """What the item graph propagates: the ID embeddings of items, or their projected features ("LATTICE/feats").
    With `neighbours` 0, `ids` is the backbone alone and `features` is "CF+feats"."""
    fuse: Literal["paper", "official"] = "paper"
    """`paper`: normalise the learned graph of each modality, then mix; `official`: mix, then normalise once."""


class LATTICE(Recommender):
    """A collaborative filter plus item ID embeddings, propagated over an item graph learned from all modalities.

    Equation numbers are those of the paper: kNN graphs (1-3), projections (4), skip connection (5), fusion (6), graph
    convolution (7), enriched items (8).
    """

    name = "LATTICE"
    paper = "Zhang et al., ACM MM 2021"
    cost = "2 E d L for the backbone, 2 M k I d per item layer; per epoch I² M d (many items: I^1.5) to learn it"
    min_modalities = 1
    repeats_steps = True
    Config = LATTICEConfig
    config: LATTICEConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: LATTICEConfig) -> None:
        super().__init__(train, features, config)
        d, k = config.embedding_size, config.neighbours
        modalities = Features(features)
        self.user_table = xavier_table(self.num_users, d)  # P [U, d]
        self.item_table = xavier_table(self.num_items, d)  # Q [I, d]
        self.backbone = Backbone(config.backbone, train, d, config.layers, config.interaction_graph, config.dropout)
        self.modality_logits = nn.Parameter(torch.full((len(modalities),), 0.5))  # w [M]
        self.frozen = SimilarityGraphs(modalities, k) if k else None  # S̃^m [I, I]
        learns_graph = k > 0 and config.skip < 1
        self.projections = None
        if learns_graph or config.inputs == "features":
            self.projections = Projections(modalities, d, train_features=config.train_features)
        self.searches = [NeighbourSearch(k) for _ in modalities]
        self.graphs = OncePerEpoch()

    def start_epoch(self, epoch: int, generator: torch.Generator) -> None:
        self.graphs.start_epoch()

    def drifting_parameters(self) -> Iterable[nn.Parameter]:
        if not self.config.graph_weights_drift:
            return ()
        return self.modality_logits, *(self.projections.parameters() if self.projections else ())

    def embed(self) -> Embeddings:
        users, items = self._final(slice(None), slice(None))
        return Embeddings(users, items)

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        users, items = self._final(batch.users, batch.items)  # [B, d], [2 B, d]
        ranking, squares = bpr_and_squares(users, items)
        fill = len(batch) / self.config.batch_size  # the official code divides a short last batch by batch_size too
        return {"bpr": ranking, "regulariser": self.config.regulariser * fill * squares}

    def _final(self, users: Tensor | slice, items: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Users x̃_u and items x̃_i + h_i / ‖h_i‖ of some rows (Eq. 8)."""
        all_users, all_items = self.backbone(self.user_table, self.item_table)  # x̃ [U, d], [I, d]
        enriched = take_rows(all_items, items)  # [n, d]
        if self.config.neighbours or self.config.inputs == "features":
            enriched = enriched + unit_rows(self._latent(items))
        return take_rows(all_users, users), enriched

    def _latent(self, rows: Tensor | slice) -> Tensor:
        """h of some items, `[n, d]` (Eq. 7)."""
        if not self.config.neighbours:
            return self._mixed_features(rows)
        latent = self.item_table if self.config.inputs == "ids" else self._mixed_features(slice(None))  # h⁰ [I, d]
        graph = self.graphs(self._mine, training=self.training)[0]
        for _ in range(self.config.item_layers):
            latent = graph(latent)
        return take_rows(latent, rows)

    def _mixed_features(self, rows: Tensor | slice) -> Tensor:
        """Σ_m α_m X̃^m of some items, `[n, d]`."""
        assert self.projections is not None
        weights = self.modality_logits.softmax(0)  # α [M]
        return torch.einsum("m,mnd->nd", weights, torch.stack(self.projections(rows)))

    def _mine(self) -> list[GraphSum]:
        """A = Σ_m α_m (λ S̃^m + (1 - λ) Ã^m), differentiable in w, W, b and X at the stored entries (Eqs. 1-6)."""
        assert self.frozen is not None
        skip = self.config.skip  # λ
        weights = self.modality_logits.softmax(0)  # α [M]
        terms = [(graph, skip * weight * graph.values) for graph, weight in zip(self.frozen, weights, strict=True)]
        if skip == 1:
            return [GraphSum(terms)]
        assert self.projections is not None
        projected = self.projections()  # X̃^m, M × [I, d]
        searches = zip(self.searches, projected, strict=True)
        learned = [search(rows, training=self.training) for search, rows in searches]  # Â^m
        degrees = None
        if self.config.fuse == "official":
            degrees = torch.stack([graph.degrees for graph in learned], 1) @ weights  # [I]
        for graph, weight in zip(learned, weights, strict=True):
            terms.append((graph.pattern, (1 - skip) * weight * graph.normalised(degrees)))
        return [GraphSum(terms)]
