"""Lists under rules: at most n items of a group, at least n new items, and variety.

A list is built greedily, best item first. Only a pool of the best items of a query is considered, and the pool grows
until the list is full or no item is left. The result is therefore the same as with a pool of all items, except that
variety is sought among the best items only.

Letters: n queries, P pool size, d embedding width.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.errors import ParameterError
from prismrec.retrieval.ranking import Int64Array, Ranking
from prismrec.retrieval.search import Search
from prismrec.types import BoolArray, FloatArray, Interactions

LONGEST_VARIED_LIST = 500
"""The largest k with variety, because its cost grows with k²."""
_POOL = 2
"""The first pool has this many times k items."""
_VARIED_POOL = 10
"""The same if there is variety."""
_GROWTH = 8
"""How many times larger the next pool is."""
_QUERIES_AT_ONCE = 4096
_COSINES_AT_ONCE = 2**26
"""Bounds on the queries that are composed together, and on their cosines."""


class Limit(NamedTuple):
    """At most `most` items of each group."""

    groups: Int64Array  # of each item [I]; items of group -1 are not limited
    most: int


class Floor(NamedTuple):
    """At least `least` items of a search of new items, if there are enough."""

    new: Search
    least: int


@dataclass(frozen=True)
class Rules:
    """How lists are composed.

    Attributes:
        limits: how many items of a group a list may have.
        floor: how many new items a list must have.
        diversity: weight λ of variety, from 0 (none) to 1: maximal marginal relevance (Carbonell and Goldstein, SIGIR
            1998). The next item maximises (1 - λ) r - λ s. Its relevance r is the score, scaled to 0..1 within the
            pool. Its similarity s is the largest cosine with the items chosen before.
        vectors: item vectors for the cosines `[I, d]`.
    """

    limits: tuple[Limit, ...]
    floor: Floor | None
    diversity: float
    vectors: Tensor

    @property
    def is_empty(self) -> bool:
        """Whether the best k items are the list."""
        return not (self.limits or self.floor or self.diversity)


def compose(search: Search, queries: Tensor, k: int, hidden: Interactions, rules: Rules) -> Ranking:
    """The lists of n queries under rules, in the order of the scores or, with variety, in the order chosen.

    Args:
        search: finds the best items of a query.
        queries: `[n, d]`.
        k: length of the lists.
        hidden: pairs (query, item) to leave out; n × all items.
        rules: what the lists must satisfy.

    Raises:
        ParameterError: k is too large for variety.
    """
    k = min(k, len(search))
    if rules.is_empty or not k:
        return search.search(queries, k, hidden)
    if rules.diversity and k > LONGEST_VARIED_LIST:
        raise ParameterError("k", str(k), f"{LONGEST_VARIED_LIST} or less with diversity")
    reach = min((_VARIED_POOL if rules.diversity else _POOL) * k, len(search))
    size = _QUERIES_AT_ONCE
    if rules.diversity:
        size = max(min(size, _COSINES_AT_ONCE // reach**2), 1)
    starts = range(0, len(queries), size)
    blocks = [np.arange(start, min(start + size, len(queries))) for start in starts]
    lists = [_compose_block(search, queries, k, hidden, rules, block, reach) for block in blocks]
    if not lists:
        return search.search(queries, k, hidden)
    return Ranking(torch.cat([each.items for each in lists]), torch.cat([each.scores for each in lists]))


def _compose_block(
    search: Search, queries: Tensor, k: int, hidden: Interactions, rules: Rules, block: Int64Array, reach: int
) -> Ranking:
    """The lists of the queries of one block, with pools that grow where a list is not full."""
    items = np.full((len(block), k), -1)
    scores = np.full((len(block), k), -np.inf, dtype=np.float32)
    unfinished = np.arange(len(block))
    while len(unfinished):
        numbers = block[unfinished]
        pool = _make_pool(search, queries[torch.from_numpy(numbers)], hidden.of_users(numbers), rules.floor, reach)
        selection = _Selection(pool, rules)
        is_final = selection.fill(k)
        items[unfinished], scores[unfinished] = selection.listed(k)
        unfinished = unfinished[~is_final]
        reach = min(_GROWTH * reach, len(search))
    return Ranking(torch.from_numpy(items), torch.from_numpy(scores))


class _Pool(NamedTuple):
    """Candidates of n queries: the best new items, if a floor needs them, then the best items of all, `[n, P]`.

    A new item may be in both parts.
    """

    items: Int64Array  # -1 pads shorter lists
    scores: FloatArray
    new: int  # the width of the first part
    has_all_new: BoolArray  # [n]; whether no further new item exists
    has_all: BoolArray  # [n]; whether no further item exists


def _make_pool(search: Search, queries: Tensor, hidden: Interactions, floor: Floor | None, reach: int) -> _Pool:
    """The best `reach` items of each query, after its best new items."""
    best = search.search(queries, reach, hidden)
    has_all = _is_exhausted(best, search)
    if floor is None:
        return _Pool(best.items.numpy(), best.scores.numpy(), 0, np.ones_like(has_all), has_all)
    new = floor.new.search(queries, reach, hidden)
    items = torch.cat([new.items, best.items], dim=1)
    scores = torch.cat([new.scores, best.scores], dim=1)
    return _Pool(items.numpy(), scores.numpy(), new.items.shape[1], _is_exhausted(new, floor.new), has_all)


def _is_exhausted(found: Ranking, search: Search) -> BoolArray:
    """Whether a search has no further item for a query, `[n]`."""
    if found.items.shape[1] == len(search):
        return np.ones(len(found.items), dtype=np.bool_)
    return (found.items[:, -1] < 0).numpy()


class _Selection:
    """Chooses items of a pool, one per query at a time."""

    def __init__(self, pool: _Pool, rules: Rules) -> None:
        self._pool = pool
        self._rules = rules
        self._free = pool.items >= 0  # [n, P]; may still be chosen
        self._groups = [limit.groups[pool.items] for limit in rules.limits]  # each [n, P]
        self._taken = [np.zeros(pool.items.shape, dtype=np.int32) for _ in rules.limits]  # chosen of the same group
        self._chosen: list[Int64Array] = []  # positions [n]; -1 where nothing was chosen
        self._lengths = np.zeros(len(pool.items), dtype=np.int64)  # [n]; items chosen
        self._value: npt.NDArray[np.floating] = pool.scores
        if rules.diversity:
            self._relevance = _scaled(pool.scores, self._free)
            rows = torch.from_numpy(np.maximum(pool.items, 0))
            vectors = F.normalize(rules.vectors[rows].float(), dim=2)  # [n, P, d]
            self._cosines: FloatArray = (vectors @ vectors.mT).numpy()  # [n, P, P]
            self._closest = np.full_like(pool.scores, -1)  # largest cosine with the items chosen [n, P]
            self._value = self._relevance

    def fill(self, k: int) -> BoolArray:
        """Choose k items; whether no larger pool can change the list of a query, `[n]`."""
        floor = self._rules.floor
        needed = min(floor.least, k) if floor else 0
        for _ in range(needed):
            self._choose(slice(0, self._pool.new), k)
        has_new = self._lengths == needed
        while self._choose(slice(self._pool.new, None), k):
            pass
        is_full = self._lengths == k
        return (has_new | self._pool.has_all_new) & (is_full | self._pool.has_all)

    def listed(self, k: int) -> tuple[Int64Array, FloatArray]:
        """Items and scores `[n, k]`, by score; in the order chosen if there is variety and no floor."""
        unchosen = np.full((len(self._lengths), k), -1)
        steps = np.column_stack([*self._chosen, unchosen])  # positions [n, steps + k]
        items = np.where(steps < 0, -1, np.take_along_axis(self._pool.items, steps, axis=1))
        scores = np.take_along_axis(self._pool.scores, steps, axis=1)
        scores[steps < 0] = -np.inf
        by_score = self._rules.floor is not None or not self._rules.diversity
        order = np.lexsort((items, -scores)) if by_score else np.argsort(steps < 0, axis=1, kind="stable")
        order = order[:, :k]
        return np.take_along_axis(items, order, axis=1), np.take_along_axis(scores, order, axis=1)

    def _choose(self, columns: slice, k: int) -> bool:
        """Choose the best free item among some columns for each query with fewer than k items; whether any was."""
        value = np.where(self._free[:, columns], self._value[:, columns], -np.inf)
        if not value.shape[1]:
            return False
        position = value.argmax(axis=1) + columns.start  # [n]
        everyone = np.arange(len(position))
        found = self._free[everyone, position] & (self._lengths < k)
        if not found.any():
            return False
        self._chosen.append(np.where(found, position, -1))
        self._lengths += found
        item = self._pool.items[everyone, position]
        self._free &= ~found[:, None] | (self._pool.items != item[:, None])
        for limit, groups, taken in zip(self._rules.limits, self._groups, self._taken, strict=True):
            group = groups[everyone, position]
            counts = found & (group >= 0)
            np.add(taken, counts[:, None] & (groups == group[:, None]), out=taken)
            self._free &= taken < limit.most
        if self._rules.diversity:
            self._lower_value_of_similar(position)
        return True

    def _lower_value_of_similar(self, position: Int64Array) -> None:
        """Lower the value of the items that resemble the item just chosen."""
        np.maximum(self._closest, self._cosines[np.arange(len(position)), position], out=self._closest)
        diversity = np.float32(self._rules.diversity)
        self._value = (1 - diversity) * self._relevance - diversity * self._closest


def _scaled(scores: FloatArray, valid: BoolArray) -> FloatArray:
    """The scores of each row, scaled to 0..1."""
    lowest = np.where(valid, scores, np.inf).min(axis=1, keepdims=True)
    highest = np.where(valid, scores, -np.inf).max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # a row without a candidate has no bounds
        span = highest - lowest
    span[~(span > 0)] = 1
    return np.asarray(np.where(valid, scores - lowest, 0) / span, dtype=np.float32)
