"""LATTICE.

Zhang, Zhu, Liu, Wu, Wang, Wang. "Mining Latent Structures for Multimedia Recommendation." ACM Multimedia 2021.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from pydantic import NonNegativeInt
from torch import Tensor, nn

from prismrec.graph import NeighbourSearch
from prismrec.models.base import Recommender
from prismrec.models.item_graph_config import ItemGraphConfig
from prismrec.nn import bpr_and_squares, take_rows, xavier_table
from prismrec.nn.backbone import Backbone
from prismrec.nn.item_graph import GraphSum, OncePerEpoch, Projections, SimilarityGraphs
from prismrec.nn.normalise import unit_rows
from prismrec.types import Embeddings, Interactions, Triplets


class LATTICEConfig(ItemGraphConfig):
    """Hyperparameters of LATTICE and the switches of its tables."""

    neighbours: NonNegativeInt = 10
    """Neighbours k that each item keeps per modality, itself among them; 0: no item graph."""
    inputs: Literal["ids", "features"] = "ids"
    """What the item graph carries: the items' ID table, or their projected features ("LATTICE/feats").
    With `neighbours` 0, `ids` is the backbone alone and `features` is "CF+feats"."""
    fuse: Literal["paper", "official"] = "paper"
    """`paper`: normalise each modality's learned graph, then mix; `official`: mix, then normalise once."""


class LATTICE(Recommender):
    """IDs convolved on an item graph, mined from all modalities and learned, enrich any collaborative filter."""

    paper = "Zhang et al., ACM Multimedia 2021"
    cost = "2 E d L for the backbone, 2 M k I d per item layer; per epoch I² M d (many items: I^1.5) to learn it"
    min_modalities = 1
    Config = LATTICEConfig
    config: LATTICEConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: LATTICEConfig) -> None:
        super().__init__(train, features, config)
        d = config.embedding_size
        self.user_table = xavier_table(self.num_users, d)  # P [U, d]
        self.item_table = xavier_table(self.num_items, d)  # Q [I, d]
        self.backbone = Backbone(config.backbone, train, d, config.layers, config.interaction_graph, config.dropout)
        self.modality_logits = nn.Parameter(torch.full((len(self.features),), 0.5))  # w [M]
        k, learns = config.neighbours, config.skip < 1
        self.frozen = SimilarityGraphs(self.features, k) if k else None  # S̃^m [I, I]
        self.projections = (
            Projections(self.features, d, train_features=config.train_features)
            if config.inputs == "features" or (k and learns)
            else None
        )
        self.searches = [NeighbourSearch(k) for _ in self.features]
        self.graphs = OncePerEpoch()

    def start_epoch(self, epoch: int, generator: torch.Generator) -> None:
        self.graphs.start_epoch()

    def drifting_parameters(self) -> Iterable[nn.Parameter]:
        if self.config.graph_updates == "lazy" or self.config.inputs == "features":
            return ()  # features as input have a gradient at every step
        return self.modality_logits, *(self.projections.parameters() if self.projections else ())

    def embed(self) -> Embeddings:
        return Embeddings(*self._final(slice(None), slice(None)))

    def loss(self, batch: Triplets) -> dict[str, Tensor]:
        ranking, squares = bpr_and_squares(*self._final(batch.users, batch.items))
        fill = len(batch) / self.config.batch_size  # the last batch of an epoch may be short, its divisor is not
        return {"bpr": ranking, "regulariser": self.config.regulariser * fill * squares}

    def _final(self, users: Tensor | slice, items: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Users x̃_u and items x̃_i + h_i / ‖h_i‖ of the given rows (Eq. 8)."""
        all_users, all_items = self.backbone(self.user_table, self.item_table)
        chosen = take_rows(all_items, items)  # [n, d]
        if self.config.neighbours or self.config.inputs == "features":
            chosen = chosen + unit_rows(self._latent(items))
        return take_rows(all_users, users), chosen

    def _latent(self, rows: Tensor | slice) -> Tensor:
        """h of the given items, `[n, d]` (Eq. 7)."""
        if not self.config.neighbours:
            return self._mixed_features(rows)
        latent = self.item_table if self.config.inputs == "ids" else self._mixed_features(slice(None))  # h⁰ [I, d]
        (graph,) = self.graphs(self._mine, training=self.training)
        for _ in range(self.config.item_layers):
            latent = graph(latent)
        return take_rows(latent, rows)

    def _mixed_features(self, rows: Tensor | slice) -> Tensor:
        """Σ_m α_m X̃^m of the given items, `[n, d]`."""
        assert self.projections is not None
        return torch.einsum("m,mnd->nd", self.modality_logits.softmax(0), torch.stack(self.projections(rows)))

    def _mine(self) -> list[GraphSum]:
        """A = Σ_m α_m [λ S̃^m + (1 - λ) Ã^m] (Eqs. 3-6), differentiable in w, W, b and X at the entries kept."""
        assert self.frozen is not None
        share, skip = self.modality_logits.softmax(0), self.config.skip  # α [M], λ
        terms = [(graph, skip * part * graph.values) for graph, part in zip(self.frozen, share, strict=True)]
        if skip < 1:
            assert self.projections is not None
            pairs = zip(self.searches, self.projections(), strict=True)
            learned = [search(projected, training=self.training) for search, projected in pairs]
            degrees = None
            if self.config.fuse == "official":
                degrees = torch.stack([graph.degrees for graph in learned], 1) @ share  # [I]
            for graph, part in zip(learned, share, strict=True):
                terms.append((graph.pattern, (1 - skip) * part * graph.normalised(degrees)))
        return [GraphSum(terms)]
