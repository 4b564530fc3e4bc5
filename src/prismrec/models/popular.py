"""Most popular: the same ranking for every user. A baseline that every model should beat."""

from collections.abc import Mapping

import torch
from torch import Tensor

from prismrec.models.base import ModelConfig, Recommender
from prismrec.types import Embeddings, Interactions, Triplets


class MostPopular(Recommender):
    """Ranks items by their number of training interactions, the same for every user; nothing is trained."""

    name = "most-popular"
    paper = "none"
    cost = "none"
    takes_features = False
    repeats_steps = True
    popularity: Tensor

    def __init__(self, train: Interactions, features: Mapping[str, Tensor], config: ModelConfig) -> None:
        super().__init__(train, features, config)
        popularity = torch.as_tensor(train.item_degrees).to(torch.get_default_dtype())
        self.register_buffer("popularity", popularity, persistent=False)  # [I]

    def embed(self) -> Embeddings:
        return Embeddings(self.popularity.new_ones(self.num_users, 1), self.popularity.unsqueeze(1))

    def forward(self, batch: Triplets) -> dict[str, Tensor]:
        return {}
