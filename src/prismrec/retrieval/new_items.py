"""Questions about items that the run does not have, by their features."""

from collections.abc import Hashable, Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor

from prismrec.retrieval.answers import Lists
from prismrec.retrieval.catalog import Filters
from prismrec.retrieval.retriever import Retriever
from prismrec.retrieval.similar import MODEL


def similar_to_new(retriever: Retriever, features: Mapping[str, Tensor], k: int, filters: Filters) -> Lists:
    """The k items of the run that are most similar to each of n new items, by the item vectors.

    Args:
        retriever: of the run.
        features: as in `Newcomers.embed_items`.
        k: length of the lists.
        filters: which items the lists may hold.

    Raises:
        InputError: the run was trained without features or with others, or k or a filter cannot be used.
    """
    vectors = retriever.newcomers.embed_items(features)
    return retriever.nearest(F.normalize(vectors, dim=1), k, MODEL, filters)


def score_new(retriever: Retriever, users: Sequence[Hashable], features: Mapping[str, Tensor]) -> Tensor:
    """The scores of m new items for n users, comparable with those of recommendations, float32 `[n, m]`.

    Raises:
        InputError: a user is unknown or has no training interaction, or the features cannot be used.
    """
    vectors = retriever.newcomers.embed_items(features)
    return retriever.trained_vectors(users) @ vectors.T
