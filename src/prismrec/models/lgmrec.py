"""LGMRec.

Guo, Li, Li, Wang, Si, Ruan. "LGMRec: Local and Global Graph Learning for Multimodal Recommendation." AAAI 2024.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Annotated, NamedTuple

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn

from prismrec.graph import BipartiteGraph
from prismrec.models.base import Grid, Layers, ModelConfig, PositiveCount, PositiveLayers, Recommender, Temperature
from prismrec.nn import Features, bpr_and_norms, layer_mean, xavier_table
from prismrec.ops import distinct_rows, dropout, narrow_softmax, project_features, take_rows, unit_rows
from prismrec.ops.product_contrast import Product, info_nce_of_products
from prismrec.ops.rows import DistinctRows
from prismrec.types import Embeddings, Interactions, Triplets

_LEAST_LOGIT = -60
"""Memberships below e^-60 of the largest one count as e^-60. Smaller ones would be denormal numbers, which are slow."""


class LGMRecConfig(ModelConfig):
    """Hyperparameters of LGMRec, with the defaults of its Baby settings, and the switches of its ablation table.

    The grid is that of the paper.
    """

    layers: Annotated[Layers, Grid(1, 2, 3, 4)] = 2
    """Layers L of the collaborative graph (Eq. 2)."""
    modal_layers: Annotated[Layers, Grid(1, 2, 3, 4)] = 2
    """Layers K of the modality graphs, of which the last is used (Eq. 6)."""
    hyper_layers: Annotated[PositiveLayers, Grid(1, 2, 3, 4)] = 1
    """Layers H of the hypergraphs (Eq. 9)."""
    hyperedges: Annotated[PositiveCount, Grid(2, 4, 8, 16, 32, 64, 128, 256)] = 4
    """Hyperedges A per modality, latent attributes that connect all users and items."""
    keep_rate: Annotated[float, Grid(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)] = Field(0.5, gt=0, le=1)
    """Share of hyperedge memberships kept in training. The official code uses the "drop ratio" of the paper as this
    share."""
    alpha: Annotated[NonNegativeFloat, Grid(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)] = 0.3
    """Weight α of the global embeddings (Eq. 13)."""
    temperature: Temperature = 0.2
    """Temperature τ of the Gumbel softmax (Eq. 8) and of the contrastive loss (Eq. 12)."""
    contrast_weight: Annotated[NonNegativeFloat, Grid(0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1)] = 1e-4
    """Weight λ₂ of the contrast (Eq. 15). The contrast is a sum over the batch, so its effect depends on batch_size."""
    regulariser: Annotated[NonNegativeFloat, Grid(0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1)] = 1e-6
    """Weight λ₁ of Σ ‖X‖ / B over the final rows of the batch (Eq. 14)."""
    collaborative: bool = True
    """Add the collaborative embeddings in Eq. 13. False is "w/o CGE"; the hypergraphs still use them."""
    modal: bool = True
    """Add the modality embeddings in Eq. 13. False is "w/o MGE". If `collaborative` is False too, it is "w/o
    LGE"."""
    hypergraph: bool = True
    """Add the global embeddings in Eq. 13. False is "w/o GHE". If `modal` is False too, it is "w/o MM"."""
    contrast: bool = True
    """Add the contrastive loss between the hypergraphs of two modalities. False is "w/o HCL"."""
    contrast_candidates: int | None = Field(None, ge=2)
    """Number of users, and of items, drawn at each step to estimate the denominator of Eq. 12. None uses all of them,
    as in the paper. A number is an approximation for very large catalogues."""
    shared_user_ids: bool = False
    """Start users in the modality graphs with their ID embeddings instead of Eq. 5. True is "w/ SUID"."""
    eval_noise: bool = False
    """Draw Gumbel noise in eval mode too, as the official code does. Then two evaluations differ."""


class _Side(NamedTuple):
    """The embeddings of all users, or of all items, before fusion."""

    collaborative: Tensor  # [n, d]
    modal: Tensor | None  # [n, M, d]
    members: Tensor | None  # H̄, memberships in the hyperedges of each modality [n, M, A]


class _Views(NamedTuple):
    """The embeddings of all nodes, and the messages Λ on the hyperedges of each modality `[M, A, d]`."""

    users: _Side
    items: _Side
    messages: Tensor | None


class LGMRec(Recommender):
    """Sum of ID propagation, modality propagation without user IDs, and a learned hypergraph per modality.

    Equation numbers are those of the paper: collaborative graph (2-3), modality graphs (4-6), hypergraphs (7-11),
    contrast (12), fusion (13), loss (14-15).
    """

    name = "LGMRec"
    paper = "Guo et al., AAAI 2024"
    cost = (
        "I Σ F_m (d + A) to project, 2 E d (L + M K) to propagate, "
        "B (U + I) min(A, d) per pair of modalities to contrast"
    )
    bf16_features = True
    repeats_steps = True
    Config = LGMRecConfig
    config: LGMRecConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: LGMRecConfig) -> None:
        super().__init__(train, features, config)
        d = config.embedding_size
        self.features = Features(features)  # X, [I, F_m] each
        self.user_table = xavier_table(self.num_users, d)  # P [U, d]
        self.item_table = xavier_table(self.num_items, d)  # Q [I, d]
        self.projections = nn.ParameterList(xavier_table(d, width) for width in self.features.widths)  # W [d, F_m]
        self.hyperedges = nn.ParameterList(xavier_table(config.hyperedges, width) for width in self.features.widths)
        self.graph = BipartiteGraph(train)
        self.sum_over_items = self.graph.sum_over_items()  # R [U, I]
        self.mean_over_items = self.graph.mean_over_items()  # D_U^-1 R [U, I]

    def embed(self) -> Embeddings:
        views = self._views()
        users = self._fuse(views.users, views.messages, slice(None))
        items = self._fuse(views.items, views.messages, slice(None))
        return Embeddings(users, items)

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        views = self._views()
        users = self._fuse(views.users, views.messages, batch.users)  # [B, d]
        items = self._fuse(views.items, views.messages, batch.items)  # [2 B, d]
        ranking, norms = bpr_and_norms(users, items)
        terms = {"bpr": ranking, "regulariser": self.config.regulariser * norms}  # Eq. 14
        if self.config.contrast and self.config.hypergraph and len(self.features) > 1:
            terms["contrast"] = self.config.contrast_weight * self._contrast(views, batch)  # Eq. 15
        return terms

    def memberships(self) -> tuple[Tensor, Tensor]:
        """H̄ of users `[U, M, A]` and items `[I, M, A]`, for Figure 5; in eval mode, each row of A sums to 1 (Eqs. 7-8).

        Raises:
            ValueError: the model has no modality, or no part that uses them.
        """
        views = self._views()
        if views.users.members is None or views.items.members is None:
            raise ValueError(f"{self.name} without modalities has no hyperedges")
        return views.users.members, views.items.members

    def _views(self) -> _Views:
        """All embeddings before fusion (Eqs. 2-9)."""
        users, items = layer_mean(self.graph, self.user_table, self.item_table, self.config.layers)  # Eqs. 2-3
        if not len(self.features) or not (self.config.modal or self.config.hypergraph):
            return _Views(_Side(users, None, None), _Side(items, None, None), None)
        projected, item_logits = self._project()
        modal_users, modal_items = self._propagate_modalities(projected)
        user_logits = self.sum_over_items(item_logits)  # R X Vᵀ [U, M A]
        item_members = self._memberships(item_logits)  # [I, M, A]
        user_members = self._memberships(user_logits)  # [U, M, A]
        messages = self._messages(item_members, items)  # [M, A, d]
        user_side = _Side(users, modal_users, user_members)
        item_side = _Side(items, modal_items, item_members)
        return _Views(user_side, item_side, messages)

    def _project(self) -> tuple[Tensor, Tensor]:
        """X Wᵀ `[I, M d]` (Eq. 4) and X Vᵀ `[I, M A]` (Eq. 7), with one product per modality."""
        projected, logits = [], []
        for x, projection, hyperedges in zip(self.features, self.projections, self.hyperedges, strict=True):
            both = project_features(x, torch.cat([projection, hyperedges]))  # [I, d + A]
            projected_items, item_logits = both.split([len(projection), len(hyperedges)], 1)
            projected.append(projected_items)
            logits.append(item_logits)
        return torch.cat(projected, 1), torch.cat(logits, 1)

    def _propagate_modalities(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """The last layer of each modality graph, `[U, M, d]` and `[I, M, d]` (Eqs. 5-6)."""
        M, d = len(self.features), self.config.embedding_size
        users = self.user_table.repeat(1, M) if self.config.shared_user_ids else self.mean_over_items(items)  # [U, M d]
        for _ in range(self.config.modal_layers if self.config.modal else 0):
            users, items = self.graph(users, items)
        return users.unflatten(1, (M, d)), items.unflatten(1, (M, d))

    def _memberships(self, logits: Tensor) -> Tensor:
        """H̄, Gumbel softmax and dropout in training, plain softmax in eval mode: `[n, M A]` to `[n, M, A]` (Eq. 8)."""
        logits = logits.reshape(-1, self.config.hyperedges)  # [n M, A]
        if self.training or self.config.eval_noise:
            exponential = torch.empty_like(logits).exponential_()
            logits = logits - exponential.log()  # -ln of an exponential variable is Gumbel noise
        members = narrow_softmax(logits / self.config.temperature, least=_LEAST_LOGIT)
        members = dropout(members, 1 - self.config.keep_rate, self.training)
        return members.unflatten(0, (-1, len(self.features)))

    def _messages(self, members: Tensor, items: Tensor) -> Tensor:
        """Λ = (H̄ᵀ H̄)^(H-1) H̄ᵀ C `[M, A, d]`, so that layer H of Eq. 9 is G = H̄ Λ."""
        messages = (members.flatten(1).T @ items).unflatten(0, members.shape[1:])  # H̄ᵀ C
        for _ in range(self.config.hyper_layers - 1):
            overlaps = torch.einsum("ima,imb->mab", members, members)  # H̄ᵀ H̄ [M, A, A]
            messages = overlaps @ messages
        return messages

    def _fuse(self, side: _Side, messages: Tensor | None, rows: Tensor | slice) -> Tensor:
        """E* = C + Σ_m nrm(Z^m) + α nrm(Σ_m G^m) for some rows, `[n, d]` (Eqs. 9-11 for G, Eq. 13)."""
        fused = take_rows(side.collaborative, rows)
        if not self.config.collaborative:
            fused = torch.zeros_like(fused)
        if self.config.modal and side.modal is not None:
            fused = fused + unit_rows(take_rows(side.modal, rows)).sum(1)
        if self.config.hypergraph and side.members is not None and messages is not None:
            members = take_rows(side.members, rows)  # [n, M, A]
            spread = members.flatten(1) @ messages.flatten(0, 1)  # Σ_m H̄^m Λ^m [n, d]
            fused = fused + self.config.alpha * unit_rows(spread)
        return fused

    def _contrast(self, views: _Views, batch: Triplets) -> Tensor:
        """InfoNCE of users and of positive items: a sum over the batch, a mean over pairs of modalities (Eq. 12)."""
        users = distinct_rows(batch.users, self.num_users)
        items = distinct_rows(batch.positives, self.num_items)
        user_terms = self._contrast_modalities(views.users, views.messages, users)
        item_terms = self._contrast_modalities(views.items, views.messages, items)
        return torch.stack(user_terms + item_terms).sum() / len(user_terms)

    def _contrast_modalities(self, side: _Side, messages: Tensor | None, anchors: DistinctRows) -> list[Tensor]:
        """Σ_a (ln Σ_n exp(cos(G_a, G'_n) / τ) - cos(G_a, G'_a) / τ) for each pair of modalities, with G = H̄ Λ."""
        assert side.members is not None and messages is not None
        members = side.members.unbind(1)  # M × [n, A]
        modalities = [Product(each, message) for each, message in zip(members, messages, strict=True)]
        weights = anchors.counts.to(messages)
        temperature, candidates = self.config.temperature, self.config.contrast_candidates
        return [
            info_nce_of_products(first, second, anchors.rows, weights, temperature, candidates)
            for first, second in combinations(modalities, 2)
        ]
