"""VBPR.

He, McAuley. "VBPR: Visual Bayesian Personalized Ranking from Implicit Feedback." AAAI 2016.
"""

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from prismrec.models.base import ModelConfig, Recommender
from prismrec.nn import Features, bpr, bpr_and_norms, xavier_normal_table, xavier_table
from prismrec.ops import distinct_rows, project_features, take_rows, take_rows_sparse_grad, triplet_rows
from prismrec.types import Embeddings, Interactions, Triplets


class VBPRConfig(ModelConfig):
    """Hyperparameters of VBPR; d factors for the item itself and d for its content."""

    variant: Literal["mmrec", "paper"] = "mmrec"
    """`mmrec`: content through one linear layer, as the tables that cite VBPR ran it; `paper`: item and content biases,
    losses summed over the batch, squared norms."""
    regulariser: NonNegativeFloat = 1e-2
    """`mmrec`: weight of Σ ‖X‖ / B on the rows of the batch; `paper`: weight λ_w of ½ ‖X‖² on factors."""
    bias_regulariser: NonNegativeFloat = 0.01
    """`paper` only: weight λ_b of the item biases; a tenth of it for negatives."""
    content_regulariser: NonNegativeFloat = 0.0
    """`paper` only: weight λ_e of the content projection."""
    feature_norm: Literal["none", "l2"] = "none"
    """`l2`: scale each item's vector of each modality to length 1, so that no modality drowns the others."""


class VBPR(Recommender):
    """Matrix factorisation whose item embeddings combine a free part with a linear projection of the item features."""

    name = "VBPR"
    paper = "He and McAuley, AAAI 2016"
    cost = "2 B d Σ F_m: only items of the batch are projected"
    min_modalities = 1
    bf16_features = True
    repeats_steps = True
    Config = VBPRConfig
    config: VBPRConfig
    content: Tensor

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: VBPRConfig) -> None:
        super().__init__(train, features, config)
        modalities = Features(features)
        d, self.is_paper = config.embedding_size, config.variant == "paper"
        matrices = [F.normalize(x) if config.feature_norm == "l2" else x for x in modalities]
        self.register_buffer("content", torch.cat(matrices, 1), persistent=False)  # F [I, f], f = Σ F_m
        width = self.content.shape[1]
        self.user_table = xavier_table(self.num_users, 2 * d)  # Θ = [Γ_U | T_U]  [U, 2d]
        self.item_table = xavier_table(self.num_items, d)  # Γ_I [I, d]
        self.projection = xavier_normal_table(d, width)  # W [d, f]
        if self.is_paper:
            self.projection = xavier_table(d, width)
            self.item_bias = nn.Parameter(torch.zeros(self.num_items, 1))  # β [I, 1]
            self.content_bias = xavier_table(1, width)  # β' [1, f]
        else:
            self.projection_bias = nn.Parameter(torch.zeros(d))  # c [d]

    def embed(self) -> Embeddings:
        return Embeddings(self._with_one(self.user_table), self._items(None))

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        # Only items of the batch are projected: the features are far wider than everything else here.
        items, places = distinct_rows(batch.items, self.num_items)
        chosen = self._items(items)  # [n, 2d] or [n, 2d + 1]
        if self.is_paper:
            users = self._with_one(take_rows(self.user_table, batch.users))
            ranking = bpr(users, *take_rows(chosen, places).split(len(batch)))
            return {"bpr": ranking * len(batch), "regulariser": self._paper_regulariser(batch)}
        ranking, norms = bpr_and_norms(self.user_table, chosen, (batch.users, places), sparse_grad=True)
        return {"bpr": ranking, "regulariser": self.config.regulariser * norms}

    def _with_one(self, users: Tensor) -> Tensor:
        """With the paper's biases a 1 as the last column, which meets them."""
        return F.pad(users, (0, 1), value=1.0) if self.is_paper else users

    def _items(self, rows: Tensor | None) -> Tensor:
        """[Γ_I | F Wᵀ + c], or with the paper's bias β + F β' as the last column; all rows or some."""
        table = self.item_table if rows is None else take_rows_sparse_grad(self.item_table, rows)  # [n, d]
        weight = torch.cat([self.projection, self.content_bias]) if self.is_paper else self.projection
        content = project_features(self.content, weight, rows=rows)  # [n, d], with the paper's biases [n, d + 1]
        if not self.is_paper:
            return torch.cat([table, content + self.projection_bias], 1)
        bias = self.item_bias if rows is None else take_rows(self.item_bias, rows)  # [n, 1]
        return torch.cat([table, content + F.pad(bias, (content.shape[1] - 1, 0))], 1)

    def _paper_regulariser(self, batch: Triplets) -> Tensor:
        """½ Σ λ ‖·‖² over the rows of the batch, and over the whole projection."""
        rows = triplet_rows(self.user_table, self.item_table, batch)
        factors = torch.stack([x.square().sum() for x in rows]).sum()
        biases = take_rows(self.item_bias, batch.items).split(len(batch))
        positive_bias, negative_bias = (x.square().sum() for x in biases)
        content = self.projection.square().sum() + self.content_bias.square().sum()
        return 0.5 * (
            self.config.regulariser * factors
            + self.config.bias_regulariser * (positive_bias + negative_bias / 10)
            + self.config.content_regulariser * content
        )
