"""How well a model learns from toy data."""

from functools import cache

import torch

from prismrec.evaluation import evaluate
from prismrec.models import Recommender
from prismrec.models.lightgcn import LightGCN
from prismrec.records import Settings
from prismrec.testing.toys import vector_taste
from prismrec.training import fit
from prismrec.types import Interactions


def recall_at_8(model: Recommender, train: Interactions, test: Interactions, epochs: int) -> float:
    """The recall@8 on the test pairs after some epochs."""
    trained = fit(model, train, Settings(epochs=epochs, device="cpu"))
    return evaluate(trained.embeddings, test, mask=[train], cutoffs=[8])["recall@8"]


@cache
def lightgcn_recall(seed: int) -> float:
    """The recall@8 of LightGCN on `vector_taste`, whose features it does not use."""
    train, test, _ = vector_taste(seed, informative=True)
    torch.manual_seed(0)
    config = LightGCN.Config(embedding_size=16, batch_size=64, learning_rate=0.01)
    return recall_at_8(LightGCN(train, {}, config), train, test, epochs=40)
