"""MF-BPR.

Rendle, Freudenthaler, Gantner, Schmidt-Thieme. "BPR: Bayesian Personalized Ranking from Implicit Feedback." UAI 2009.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import NonNegativeFloat
from torch import Tensor

from prismrec.models.base import Grid, ModelConfig, Recommender
from prismrec.nn import bpr_and_norms, bpr_and_squares, xavier_normal_table
from prismrec.types import Embeddings, Interactions, Triplets


class MFBPRConfig(ModelConfig):
    """Hyperparameters of MF-BPR, with the grid of MMRec."""

    regulariser: Annotated[NonNegativeFloat, Grid(1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 2.0)] = 1e-4
    """Weight λ of the regulariser on the rows of the batch."""
    regulariser_form: Literal["squares", "norms"] = "squares"
    """`squares`: ½ Σ ‖X‖² / B; `norms`: Σ ‖X‖ / B, as in MMRec, whose λ goes up to 2."""


class MFBPR(Recommender):
    """Matrix factorisation, trained to rank each observed item above a sampled unobserved item."""

    name = "MF-BPR"
    paper = "Rendle et al., UAI 2009"
    cost = "B d"
    takes_features = False
    repeats_steps = True
    Config = MFBPRConfig
    config: MFBPRConfig

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: MFBPRConfig) -> None:
        super().__init__(train, features, config)
        self.user_table = xavier_normal_table(self.num_users, config.embedding_size)  # [U, d]
        self.item_table = xavier_normal_table(self.num_items, config.embedding_size)  # [I, d]

    def embed(self) -> Embeddings:
        return Embeddings(self.user_table, self.item_table)

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        bpr_and_penalty = bpr_and_squares if self.config.regulariser_form == "squares" else bpr_and_norms
        rows = batch.users, batch.items
        ranking, penalty = bpr_and_penalty(self.user_table, self.item_table, rows, sparse_grad=True)
        return {"bpr": ranking, "regulariser": self.config.regulariser * penalty}
