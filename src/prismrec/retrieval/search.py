"""Search for the best items of query vectors: the interface, and the exact search."""

from numbers import Integral
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from prismrec.errors import ParameterError, check_type
from prismrec.retrieval.ranking import Int64Array, Ranking, largest_entry, rank
from prismrec.types import Embeddings, Interactions

_FEW_QUERIES = 64
"""Fewer queries are ranked as a block of this size: fewer and larger blocks of items, which takes less time."""


class Search(Protocol):
    """Finds the items with the largest inner products. An approximate index has the same two methods."""

    def __len__(self) -> int:
        """The number of items that are searched."""

    def search(self, queries: Tensor, k: int, hidden: Interactions) -> Ranking:
        """The k best items of each query vector `[n, d]`, without its hidden pairs.

        Args:
            queries: float32 `[n, d]`.
            k: length of the lists, which have `min(k, len(self))` columns.
            hidden: pairs (query, item) to leave out; n × all items.
        """

    def among(self, items: Int64Array) -> "Search":
        """A search of some items only, given by their numbers in ascending order."""


class ExactSearch:
    """Compares each query with each item, in blocks."""

    def __init__(self, items: Tensor) -> None:
        """Search the rows of a matrix.

        Args:
            items: `[I, d]`, float16 or float32.

        Raises:
            InputError: an entry is NaN or infinite.
        """
        self._items = items
        self._largest = largest_entry("item", items)
        self._numbers: Int64Array | None = None  # of the rows, if these are not all items
        self._row_of = np.empty(0, dtype=np.int32)  # of each item; -1 if it is not searched

    def __len__(self) -> int:
        return len(self._items)

    def among(self, items: Int64Array) -> "ExactSearch":
        """A search of some items only. Their rows are copied once, so a search is faster the fewer they are."""
        subset = ExactSearch.__new__(ExactSearch)
        subset._items = self._items[torch.from_numpy(self._rows(items))]
        subset._largest = self._largest
        subset._numbers = items
        total = len(self._items) if self._numbers is None else len(self._row_of)
        subset._row_of = np.full(total, -1, dtype=np.int32)
        subset._row_of[items] = np.arange(len(items))
        return subset

    def search(self, queries: Tensor, k: int, hidden: Interactions) -> Ranking:
        """The k best items of each query; see `Search`."""
        k = min(k, len(self))
        if not k:
            none = torch.empty(len(queries), 0)
            return Ranking(none.long(), none)
        embeddings = Embeddings(queries, self._items)
        everyone = np.arange(len(queries))
        size = _FEW_QUERIES if len(queries) < _FEW_QUERIES else None
        found = rank(embeddings, everyone, k, [self._local(hidden)], block_size=size, largest_item=self._largest)
        if self._numbers is None:
            return found
        numbers = torch.from_numpy(np.append(self._numbers, -1))  # row -1 stays item -1
        return Ranking(numbers[found.items], found.scores)

    def _rows(self, items: Int64Array) -> Int64Array:
        return items if self._numbers is None else self._row_of[items].astype(np.int64)

    def _local(self, hidden: Interactions) -> Interactions:
        """The hidden pairs with rows in place of item numbers."""
        if self._numbers is None:
            return hidden
        rows = self._row_of[hidden.items]
        searched = rows >= 0
        return Interactions(hidden.users[searched], rows[searched], hidden.num_users, len(self))


def check_length(k: int) -> None:
    """Refuse a list length below 1.

    Raises:
        ParameterError: k is no whole number, or below 1.
    """
    check_type("k", k, Integral, "a whole number, 1 or more")
    if k < 1:
        raise ParameterError("k", str(k), "1 or more")


def row_pairs(numbers: Int64Array, count: int) -> Interactions:
    """The pairs (i, numbers[i]); n × count."""
    return Interactions.from_pairs(np.arange(len(numbers)), numbers, len(numbers), count)
