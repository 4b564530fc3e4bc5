"""Search with an index: it finds candidates, and their scores are computed exactly.

Few items, and long lists, are searched exactly.
"""

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prismrec.retrieval.index import ItemIndex
from prismrec.retrieval.ranking import Int64Array, Ranking, largest_entry
from prismrec.retrieval.search import ExactSearch, Search
from prismrec.types import BoolArray, Interactions

LEAST_ITEMS = 50_000
"""Fewer items are searched exactly, because an index gains little."""
_LEAST_ALLOWED = 150_000
"""If filters allow fewer items, these are searched exactly, which is as fast."""
JUDGED_AT = 100
"""The number of lists to read is chosen by the recall at this length."""
_DEEPEST = 1000
"""Longer lists are searched exactly."""
_QUERIES_AT_ONCE = 256
_TIMED = 100
"""Queries to time."""
_STEPS = 4
"""Steps of bisection, after doubling, to the number of lists."""
_ITEMS_PER_BEST = 4
"""The lists that a query reads hold this many times the items to find, or more."""


class IndexedSearch:
    """Finds candidates with an index, and gives them exact scores.

    Few items, and long lists, are searched exactly.
    """

    def __init__(self, index: ItemIndex, items: Tensor, exact: ExactSearch, allowed: BoolArray | None = None) -> None:
        """Search the rows of a matrix.

        Args:
            index: of the matrix.
            items: `[I, d]`.
            exact: a search of all items.
            allowed: the items to search, `[I]`; None for all.
        """
        self._index = index
        self._items = items
        self._whole = exact
        self._allowed = allowed
        self._count = len(items) if allowed is None else int(allowed.sum())

    def __len__(self) -> int:
        return self._count

    def among(self, items: Int64Array) -> "IndexedSearch | ExactSearch":
        """A search of some items only, which is exact if they are few."""
        if len(items) < _LEAST_ALLOWED:
            return self._whole.among(items)
        allowed = np.zeros(len(self._items), dtype=np.bool_)
        allowed[items] = True
        return IndexedSearch(self._index, self._items, self._whole, allowed)

    @cached_property
    def _selector(self) -> Any:
        return None if self._allowed is None else self._index.selector(self._allowed)

    @cached_property
    def _exact(self) -> ExactSearch:
        return self._whole if self._allowed is None else self._whole.among(np.flatnonzero(self._allowed))

    def search(self, queries: Tensor, k: int, hidden: Interactions) -> Ranking:
        """The k best items of each query; see `Search`."""
        k = min(k, len(self))
        depths = k + hidden.user_degrees  # [n]
        if not k or depths.min(initial=_DEEPEST + 1) > _DEEPEST:
            return self._exact.search(queries, k, hidden)
        largest_entry("user", queries)
        items = torch.full((len(queries), k), -1)
        scores = torch.full((len(queries), k), -torch.inf)
        shallow = np.flatnonzero(depths <= _DEEPEST)
        deep = np.flatnonzero(depths > _DEEPEST)
        blocks = np.split(shallow, range(_QUERIES_AT_ONCE, len(shallow), _QUERIES_AT_ONCE))
        for rows in [*blocks, deep] if len(deep) else blocks:
            find = self._exact.search if rows is deep else self._search_on_one_thread
            found = find(queries[torch.from_numpy(rows)].float(), k, hidden.of_users(rows))
            items[rows] = found.items
            scores[rows] = found.scores
        return Ranking(items, scores)

    def _search_on_one_thread(self, queries: Tensor, k: int, hidden: Interactions) -> Ranking:
        """Threads of PyTorch gain little here, and on a busy machine they wait for each other for milliseconds."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return self._search_block(queries, k, hidden)
        finally:
            torch.set_num_threads(threads)

    def _search_block(self, queries: Tensor, k: int, hidden: Interactions) -> Ranking:
        depth = k + int(hidden.user_degrees.max(initial=0))
        count = depth + depth // 4 + 1  # rounded scores may change places
        largest = queries.abs().amax().item() or 1.0
        thorough = self._allowed is not None or depth > JUDGED_AT
        scaled = np.ascontiguousarray((queries / largest).numpy())
        candidates = self._index.candidates(scaled, count, selector=self._selector, thorough=thorough)
        found = torch.from_numpy(candidates)  # [n, count]
        rows = self._items[found.clamp(min=0)].float()  # [n, count, d]
        scores = (rows @ queries.unsqueeze(2)).squeeze(2) + 0.0  # [n, count]; without -0.0
        places = np.arange(len(queries))[:, None] * np.int64(len(self._items)) + found.numpy()
        taken = hidden.users * np.int64(len(self._items)) + hidden.items
        left_out = torch.from_numpy(np.isin(places, taken)) | (found < 0)
        scores.masked_fill_(left_out, -torch.inf)
        order = np.lexsort((found.numpy(), -scores.numpy()))[:, :k]
        best = scores.gather(1, torch.from_numpy(order))
        numbers = found.gather(1, torch.from_numpy(order))
        return Ranking(numbers.masked_fill_(best == -torch.inf, -1), best)


@dataclass(frozen=True)
class Quality:
    """How well an index finds the best items.

    Attributes:
        recall: the share of the exact best items of a query that it finds, on average.
        k: the number of best items.
        queries: how many queries the recall was measured with. The number of lists was chosen with others.
        milliseconds: the median time of a query alone.
        exact_milliseconds: that of exact search.
    """

    recall: float
    k: int
    queries: int
    milliseconds: float
    exact_milliseconds: float


def tune(index: ItemIndex, items: Tensor, queries: Tensor, target: float) -> Quality:
    """Set the number of lists that a query reads, so that the recall reaches the target if possible.

    Args:
        index: of the items.
        items: `[I, d]`.
        queries: `[n, d]`. One half chooses the number of lists, the other measures the recall.
        target: the recall to reach, at `JUDGED_AT` items.
    """
    exact = ExactSearch(items)
    search = IndexedSearch(index, items, exact)
    chosen = queries[::2]
    judged = queries[1::2] if len(queries) > 1 else queries
    k = min(JUDGED_AT, len(items))
    truth = _best(exact, chosen, k)
    least = min(-(-_ITEMS_PER_BEST * k * index.count // len(items)), index.count)
    index.probes = least
    while index.probes < index.count and _recall(search, chosen, truth) < target:
        index.probes = min(2 * index.probes, index.count)
    low, high = max(index.probes // 2, least), index.probes
    for _ in range(_STEPS):
        index.probes = (low + high) // 2
        if _recall(search, chosen, truth) >= target:
            high = index.probes
        else:
            low = index.probes
    index.probes = high
    return Quality(
        recall=_recall(search, judged, _best(exact, judged, k)),
        k=k,
        queries=len(judged),
        milliseconds=_median_milliseconds(search, judged, k),
        exact_milliseconds=_median_milliseconds(exact, judged, k),
    )


def _best(search: Search, queries: Tensor, k: int) -> Int64Array:
    """The best items of each query, `[n, k]`."""
    nothing = Interactions.from_pairs([], [], len(queries), len(search))
    return search.search(queries, k, nothing).items.numpy()


def _recall(search: Search, queries: Tensor, truth: Int64Array) -> float:
    found = _best(search, queries, truth.shape[1])
    shared = [np.isin(best, row).mean() for best, row in zip(truth, found, strict=True)]
    return float(np.mean(shared))


def _median_milliseconds(search: Search, queries: Tensor, k: int) -> float:
    seconds = []
    for query in queries[:_TIMED].split(1):
        start = time.perf_counter()
        _best(search, query, k)
        seconds.append(time.perf_counter() - start)
    return 1000 * float(np.median(seconds))
