"""VBPR.

He, McAuley. "VBPR: Visual Bayesian Personalized Ranking from Implicit Feedback." AAAI 2016.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from prismrec.models.base import Grid, ModelConfig, Recommender
from prismrec.nn import Features, bpr, bpr_and_norms, sum_of_squares, xavier_normal_table, xavier_table
from prismrec.ops import distinct_rows, project_features, take_rows, take_rows_sparse_grad, triplet_rows
from prismrec.types import Embeddings, Interactions, Triplets


class VBPRConfig(ModelConfig):
    """Hyperparameters of VBPR, with the grid of MMRec. The free and the content part of a vector both have width d."""

    variant: Literal["mmrec", "paper"] = "mmrec"
    """`mmrec`: content enters through one linear layer, as in MMRec and in papers that use VBPR as a baseline. `paper`:
    item biases and content biases, losses summed over the batch, squared norms."""
    regulariser: Annotated[NonNegativeFloat, Grid(1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 2.0)] = 1e-2
    """`mmrec`: weight λ of Σ ‖X‖ / B over the rows of the batch. `paper`: weight λ_w of ½ ‖X‖² of the factors."""
    bias_regulariser: NonNegativeFloat = 0.01
    """For `paper`: weight λ_b of the item biases. Negatives have a tenth of it."""
    content_regulariser: NonNegativeFloat = 0.0
    """For `paper`: weight λ_e of the content projection."""
    feature_norm: Literal["none", "l2"] = "none"
    """`l2`: scale the features of each item to length 1 in each modality, so that no modality dominates by scale."""


class VBPR(Recommender):
    """Matrix factorisation whose item embeddings combine a free part with a linear projection of the item features.

    With the features F of all modalities side by side, users are Θ = [Γ_U ‖ T_U] and items are [Γ_I ‖ F Wᵀ + c]. The
    variant `paper` has item biases β + F β' instead of c. They are the last column of items, and users have a column of
    ones there.
    """

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
        d = config.embedding_size
        self.is_paper = config.variant == "paper"
        modalities = Features(features)
        matrices = [F.normalize(x) if config.feature_norm == "l2" else x for x in modalities]
        self.register_buffer("content", torch.cat(matrices, 1), persistent=False)  # F [I, f], f = Σ F_m
        width = self.content.shape[1]
        self.user_table = xavier_table(self.num_users, 2 * d)  # Θ = [Γ_U ‖ T_U] [U, 2 d]
        self.item_table = xavier_table(self.num_items, d)  # Γ_I [I, d]
        self.projection = xavier_normal_table(d, width)  # W [d, f]
        if self.is_paper:
            nn.init.xavier_uniform_(self.projection)
            self.item_bias = nn.Parameter(torch.zeros(self.num_items, 1))  # β [I, 1]
            self.content_bias = xavier_table(1, width)  # β' [1, f]
        else:
            self.projection_bias = nn.Parameter(torch.zeros(d))  # c [d]

    def embed(self) -> Embeddings:
        users = _with_ones(self.user_table) if self.is_paper else self.user_table
        return Embeddings(users, self._items(None))

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        # Only the items of the batch are projected, because the features are wider than all other matrices.
        distinct = distinct_rows(batch.items, self.num_items)
        items = self._items(distinct.rows)  # [n, 2 d], or [n, 2 d + 1] with biases
        if self.is_paper:
            return self._paper_terms(batch, take_rows(items, distinct.inverse))
        rows = batch.users, distinct.inverse
        ranking, norms = bpr_and_norms(self.user_table, items, rows, sparse_grad=True)
        return {"bpr": ranking, "regulariser": self.config.regulariser * norms}

    def _items(self, rows: Tensor | None) -> Tensor:
        """[Γ_I ‖ F Wᵀ + c] `[n, 2 d]`, or with biases [Γ_I ‖ F Wᵀ ‖ β + F β'] `[n, 2 d + 1]`; of some rows or all."""
        free = self.item_table if rows is None else take_rows_sparse_grad(self.item_table, rows)  # [n, d]
        if not self.is_paper:
            content = project_features(self.content, self.projection, rows=rows)  # F Wᵀ [n, d]
            return torch.cat([free, content + self.projection_bias], 1)
        weight = torch.cat([self.projection, self.content_bias])  # [W; β'] [d + 1, f]
        content = project_features(self.content, weight, rows=rows)  # [F Wᵀ ‖ F β'] [n, d + 1]
        bias = self.item_bias if rows is None else take_rows(self.item_bias, rows)  # β [n, 1]
        return torch.cat([free, content + F.pad(bias, (content.shape[1] - 1, 0))], 1)

    def _paper_terms(self, batch: Triplets, items: Tensor) -> dict[str, Tensor]:
        """The loss of the variant `paper`, for the items of the batch `[2 B, 2 d + 1]`."""
        users = _with_ones(take_rows(self.user_table, batch.users))  # [B, 2 d + 1]
        positives, negatives = items.split(len(batch))
        ranking = bpr(users, positives, negatives) * len(batch)
        return {"bpr": ranking, "regulariser": self._paper_regulariser(batch)}

    def _paper_regulariser(self, batch: Triplets) -> Tensor:
        """½ Σ λ ‖·‖² over the rows of the batch, and over the whole projection."""
        users, positives, negatives = triplet_rows(self.user_table, self.item_table, batch)
        positive_bias, negative_bias = take_rows(self.item_bias, batch.items).split(len(batch))  # [B, 1]
        factors = sum_of_squares(users, positives, negatives)
        biases = positive_bias.square().sum() + negative_bias.square().sum() / 10
        content = self.projection.square().sum() + self.content_bias.square().sum()
        return 0.5 * (
            self.config.regulariser * factors
            + self.config.bias_regulariser * biases
            + self.config.content_regulariser * content
        )


def _with_ones(users: Tensor) -> Tensor:
    """A column of ones after the last one, `[n, k]` to `[n, k + 1]`."""
    return F.pad(users, (0, 1), value=1.0)
