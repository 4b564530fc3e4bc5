"""The matrices in which items are searched: by score, by popularity, by similarity."""

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.errors import InputError, ParameterError, check_type
from prismrec.retrieval.catalog import Catalog
from prismrec.retrieval.features import items_with
from prismrec.retrieval.index import ItemIndex
from prismrec.retrieval.indexed_search import IndexedSearch
from prismrec.retrieval.ranking import Int64Array, Ranking
from prismrec.retrieval.search import ExactSearch, Search
from prismrec.types import Embeddings, Interactions

MODEL = "model"
"""Similarity by the item vectors of the model, in place of a modality."""
SCORE = ""
"""The inner product with a user vector."""
POPULARITY = " popularity"
"""The number of training interactions."""

INDEXED = (SCORE, MODEL)
"""The searches that an index may answer."""


def cosines(found: Ranking) -> Tensor:
    """The scores of lists as cosines, -inf after the end of a list.

    Rows of float16 are not exactly of length 1, so inner products may exceed 1.
    """
    return torch.where(found.items >= 0, found.scores.clamp(-1, 1), found.scores)


class ItemMatrices:
    """The matrices of a run and the searches in them, made when they are first needed."""

    def __init__(
        self,
        catalog: Catalog,
        embeddings: Embeddings,
        train: Interactions,
        features: Mapping[str, Tensor],
        find_index: Callable[[str], ItemIndex | None] | None,
    ) -> None:
        self._catalog = catalog
        self._embeddings = embeddings
        self._train = train
        self._find_index = find_index
        self.features = features
        self.rows = lru_cache(maxsize=None)(self._make_rows)
        self.search = lru_cache(maxsize=None)(self._make_search)

    def _make_rows(self, by: str) -> Tensor:
        """The matrix `[I, d]` whose inner products are the scores of a search.

        Raises:
            ParameterError: `by` is neither "model" nor a modality with features.
        """
        if by == SCORE:
            return self._embeddings.items
        if by == POPULARITY:
            return torch.from_numpy(self._train.item_degrees).float().unsqueeze(1)
        if by == MODEL:
            return model_rows(self._embeddings)
        if by not in self.features:
            raise self._unknown(by)
        return self.features[by]

    def _unknown(self, by: str) -> ParameterError:
        stored = ", ".join(repr(name) for name in self.features) or "none"
        return ParameterError("by", repr(by), f"'model', or a modality whose features the run has ({stored})")

    def _make_search(self, by: str) -> Search:
        everything = ExactSearch(self.rows(by))
        index = self._find_index(by) if self._find_index and by in INDEXED else None
        if index is not None:
            return IndexedSearch(index, self.rows(by), everything)
        if by in (SCORE, POPULARITY, MODEL):
            return everything
        return everything.among(np.flatnonzero(items_with(self.rows(by))))

    def queries(self, by: str, items: Int64Array) -> Tensor:
        """The rows of some items as queries, float32 `[n, d]`.

        Raises:
            InputError: `by` is neither "model" nor a modality with features, or an item lacks the modality.
        """
        check_type("by", by, str, "'model' or a modality")
        if by != MODEL and by not in self.features:
            raise self._unknown(by)
        queries = self.rows(by)[torch.from_numpy(items)].float()
        absent = (queries == 0).all(1)
        if absent.any():
            item = self._catalog.items.id(items[int(absent.nonzero()[0])])
            found = "a vector of zeros" if by == MODEL else f"no {by} features"
            raise InputError(f"item {item!r}", found, "an item to compare others with")
        return queries

    def in_search(self, by: str, items: Int64Array) -> Int64Array:
        """Those of some items that the search covers."""
        if by in (SCORE, POPULARITY, MODEL):
            return items
        return items[items_with(self.rows(by)[torch.from_numpy(items)])]


def model_rows(embeddings: Embeddings) -> Tensor:
    """The item vectors of the model with length 1, float32 `[I, d]`."""
    return F.normalize(embeddings.items.float(), dim=1)
