"""LGMRec.

Guo, Li, Li, Wang, Si, Ruan. "LGMRec: Local and Global Graph Learning for Multimodal Recommendation." AAAI 2024.
"""

from collections.abc import Mapping
from itertools import combinations
from math import comb
from typing import NamedTuple

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from prismrec.graph import BipartiteGraph
from prismrec.models.base import ModelConfig, Recommender
from prismrec.nn import bpr_and_norms, layer_mean, merge, project, take_rows, xavier_table
from prismrec.nn.dropout import dropout
from prismrec.nn.hyperedge_contrast import hyperedge_contrast
from prismrec.nn.narrow_softmax import narrow_softmax
from prismrec.nn.normalise import unit_rows
from prismrec.types import Embeddings, Interactions, Triplets


class LGMRecConfig(ModelConfig):
    """Hyperparameters of LGMRec (defaults: its Baby settings) and the switches of its ablation table."""

    layers: NonNegativeInt = 2
    """Layers L of the collaborative propagation of IDs."""
    modal_layers: NonNegativeInt = 2
    """Layers K of the propagation of modality features; only the last is read."""
    hyper_layers: PositiveInt = 1
    """Layers H of the hypergraph."""
    hyperedges: PositiveInt = 4
    """Hyperedges A_h per modality: the latent attributes through which all users and items meet."""
    keep_rate: float = Field(0.5, gt=0, le=1)
    """Share κ of hyperedge memberships kept in training (the paper's "drop ratio" is this keep rate)."""
    alpha: NonNegativeFloat = 0.3
    """Weight α of the global embeddings."""
    temperature: PositiveFloat = 0.2
    """τ, of the Gumbel softmax and of the contrast alike."""
    contrast_weight: NonNegativeFloat = 1e-4
    """λ₂, for the contrast summed over the anchors of the batch: its meaning changes with batch_size."""
    regulariser: NonNegativeFloat = 1e-6
    """λ₁, for Σ ‖X‖ / B on the final rows of the batch."""
    collaborative: bool = True
    """Whether collaborative embeddings enter the sum; off: "w/o CGE". The hypergraph still reads them."""
    modal: bool = True
    """Whether modality embeddings enter the sum; off: "w/o MGE"; with collaborative off too: "w/o LGE"."""
    hypergraph: bool = True
    """Whether global embeddings enter the sum; off: "w/o GHE"; with modal off too: "w/o MM"."""
    contrast: bool = True
    """Whether the hypergraphs of two modalities are contrasted; off: "w/o HCL"."""
    contrast_candidates: int | None = Field(None, ge=2)
    """So many users, and items, drawn uniformly at each step, stand for all others in the contrast of an anchor with
    its own. None: all of them, as in the paper. A number is an approximation, for data where the product of batch and
    catalogue outgrows all other work."""
    shared_user_ids: bool = False
    """"w/ SUID": users enter the modality graphs by their ID embedding instead of their items' features."""
    eval_noise: bool = False
    """Keep the Gumbel noise in eval mode, as the official code does; then two evaluations differ."""


class _Hypergraphs(NamedTuple):
    """The soft memberships of all modalities and the messages on their hyperedges."""

    users: Tensor  # H̄_U [U, M, A]
    items: Tensor  # H̄_I [I, M, A]
    messages: Tensor  # Λ [M, A, d]


class _Forward(NamedTuple):
    """The three kinds of embeddings of all users and items, before they are normalised and added."""

    collaborative: tuple[Tensor, Tensor]  # C [U, d], [I, d]
    modal: tuple[Tensor, Tensor]  # Z [U, M, d], [I, M, d]
    hypergraphs: _Hypergraphs | None


class LGMRec(Recommender):
    """ID propagation, modality propagation without user IDs, and a learned hypergraph per modality, added up."""

    paper = "Guo et al., AAAI 2024"
    cost = "I Σ F_m (d + A) to project, 2 E d (L + M K) to propagate, B (U + I) min(A, d) per pair to contrast"
    bf16_features = True
    Config = LGMRecConfig
    config: LGMRecConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: LGMRecConfig) -> None:
        super().__init__(train, features, config)
        d = config.embedding_size
        self.user_table = xavier_table(self.num_users, d)  # P [U, d]
        self.item_table = xavier_table(self.num_items, d)  # Q [I, d]
        self.projections = nn.ParameterList(xavier_table(d, width) for width in self.features.widths)  # W [d, F_m]
        self.hyperedges = nn.ParameterList(xavier_table(config.hyperedges, width) for width in self.features.widths)
        self.graph = BipartiteGraph(train)
        self.sum = BipartiteGraph(train, "none").to_users  # R [U, I]
        self.mean = BipartiteGraph(train, "rw").to_users  # R by rows divided by their sums

    def embed(self) -> Embeddings:
        return Embeddings(*self._fuse(self._forward(), slice(None), slice(None)))

    def loss(self, batch: Triplets) -> dict[str, Tensor]:
        forward = self._forward()
        ranking, norms = bpr_and_norms(*self._fuse(forward, batch.users, batch.items))
        terms = {"bpr": ranking, "regulariser": self.config.regulariser * norms}
        if forward.hypergraphs and self.config.contrast and self.config.hypergraph and len(self.features) > 1:
            terms["contrast"] = self.config.contrast_weight * self._contrast(forward.hypergraphs, batch)
        return terms

    def _forward(self) -> _Forward:
        """Everything up to the fusion (Eqs. 1-12)."""
        users, items = layer_mean(self.graph, self.user_table, self.item_table, self.config.layers)
        if not len(self.features) or not (self.config.modal or self.config.hypergraph):
            return _Forward((users, items), (users[:, None][:, :0], items[:, None][:, :0]), None)
        d, M = self.config.embedding_size, len(self.features)
        weights = zip(self.projections, self.hyperedges, strict=True)
        # X [W; V]ᵀ [I, d + A]
        both = [project(x, torch.cat(rows)) for x, rows in zip(self.features, weights, strict=True)]
        modal_items, item_logits = zip(*(each.split([d, self.config.hyperedges], 1) for each in both), strict=True)
        items_by_modality = torch.cat(modal_items, 1)  # [I, M d]
        modal = self.mean(items_by_modality), items_by_modality
        if self.config.shared_user_ids:
            modal = self.user_table.repeat(1, M), items_by_modality
        for _ in range(self.config.modal_layers if self.config.modal else 0):
            modal = self.graph(*modal)
        logits = torch.cat(item_logits, 1)  # T_I [I, M A]
        hypergraphs = self._hypergraphs(self.sum(logits), logits, items)  # T_U = R T_I
        return _Forward((users, items), (modal[0].unflatten(1, (M, d)), modal[1].unflatten(1, (M, d))), hypergraphs)

    def _hypergraphs(self, user_logits: Tensor, item_logits: Tensor, items: Tensor) -> _Hypergraphs:
        """Relaxed memberships and hyperedge messages; the H layers collapse into powers of H̄ᵀH̄ `[A, A]`."""
        shape = len(self.features), self.config.hyperedges  # M, A
        item_members, user_members = (
            self._memberships(logits.reshape(-1, shape[1])).unflatten(0, (-1, shape[0]))  # H̄ [n, M, A]
            for logits in (item_logits, user_logits)
        )
        messages = (item_members.flatten(1).T @ items).unflatten(0, shape)  # Λ [M, A, d]
        for _ in range(self.config.hyper_layers - 1):
            messages = torch.einsum("ima,imb->mab", item_members, item_members) @ messages
        return _Hypergraphs(user_members, item_members, messages)

    def _memberships(self, logits: Tensor) -> Tensor:
        """Gumbel softmax over hyperedges, then dropout; in eval mode the plain softmax."""
        if self.training or self.config.eval_noise:
            logits = logits - torch.empty_like(logits).exponential_().log()
        # Logits drift apart in training. Memberships under e^-60 are as good as none, and would be denormal numbers, on
        # which products run many times slower in threads that were running before training flushed them.
        members = narrow_softmax(logits / self.config.temperature, least=-60)
        return dropout(members, 1 - self.config.keep_rate, self.training)

    def _fuse(self, forward: _Forward, users: Tensor | slice, items: Tensor | slice) -> tuple[Tensor, Tensor]:
        """E* = C + Σ_m nrm(Z^m) + α nrm(Σ_m G^m) for the given rows (Eq. 13)."""
        fused = []
        for side, rows in enumerate((users, items)):
            total = take_rows(forward.collaborative[side], rows) * float(self.config.collaborative)
            if self.config.modal:
                total = total + unit_rows(take_rows(forward.modal[side], rows)).sum(1)
            if self.config.hypergraph and forward.hypergraphs:
                members, messages = take_rows(forward.hypergraphs[side], rows), forward.hypergraphs.messages
                spread = members.flatten(1) @ messages.flatten(0, 1)  # Σ_m G^m [n, d]
                total = total + self.config.alpha * unit_rows(spread)
            fused.append(total)
        return fused[0], fused[1]

    def _contrast(self, hypergraphs: _Hypergraphs, batch: Triplets) -> Tensor:
        """Mean over modality pairs of the InfoNCE of users and of items, summed over anchors (Eqs. 14-15)."""
        terms = []
        for side, anchors in enumerate((batch.users, batch.positives)):
            merged = merge(anchors, (self.num_users, self.num_items)[side])
            weights, sample = merged.counts.to(hypergraphs.messages), self.config.contrast_candidates
            views = zip(hypergraphs[side].unbind(1), hypergraphs.messages, strict=True)
            for pair in combinations(views, 2):
                terms.append(hyperedge_contrast(*pair, merged.rows, weights, self.config.temperature, sample))
        return torch.stack(terms).sum() / comb(len(self.features), 2)
