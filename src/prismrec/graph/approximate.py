"""Approximate nearest neighbours by cells, whose accuracy is measured before they are used.

k-means parts the rows into cells, and a row is compared with those in the cells nearest to it alone: the inverted file
of Jégou, Douze and Schmid (TPAMI 2011). How many cells that must be depends on the data. It is doubled until nearly
all neighbours of a sample of rows are found, whose true ones are sought too.

All rows that look into a cell are compared with it in one dense product. For 65,536 rows of 384 columns that takes half
as long as faiss's inverted file, which goes from row to row; with few columns it takes longer.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from prismrec.graph.cluster import kmeans, nearest

WANTED_RECALL = 0.97
"""Share of the true neighbours that the sample must find: 0.95 and a margin, since it is a sample."""
_SAMPLE = 500
"""Rows whose neighbours are sought both ways."""
_CELLS_PER_ROOT = 4
"""Cells are so many times √n: with more, finding the cells would cost more than looking into them."""
_LEARNED_PER_CELL = 40
"""Rows of a cell that k-means learns from."""
_ITERATIONS = 5
"""Of k-means; more change the recall by less than one more cell does."""
_EXACT_PAYS = 8
"""Where more than 1/8 of the cells had to be looked into, comparing all with all is about as fast."""
_FOUND_AT_ONCE = 1 << 23
"""Neighbours found in single cells and not merged yet: 96 MB."""
_BLOCK_ENTRIES = 1 << 20
"""Similarities held at once: 4 MB in float32."""
_LEAST_ROWS = 64
"""Yet never fewer rows of them."""


class Found(NamedTuple):
    """Neighbours and how good they are.

    Attributes:
        rows: int64 `[n, k]`.
        recall: share of the true neighbours among those found for the sample, a row itself not counted.
    """

    rows: Tensor
    recall: float


class _Cells(NamedTuple):
    centroids: Tensor  # [C, F]
    rows: Tensor  # int64 [n], cell after cell
    sizes: list[int]  # [C]


class _Best(NamedTuple):
    """What each query found in each of its cells."""

    similarities: Tensor  # [b, p, k], -inf where nothing was
    rows: Tensor  # int64 [b, p, k], -1 there


def approximate_neighbours(unit: Tensor, k: int, exact: Callable[[Tensor], Tensor]) -> Found | None:
    """The k rows of nearly the largest inner product with each row, itself among them, in no order; of equals any.

    The seed is fixed: the same rows have the same neighbours.

    Args:
        unit: rows of length 1, `[n, F]`.
        k: at least 2, at most n.
        exact: from row numbers `[b]` to their true neighbours `[b, k]`.

    Returns:
        None where the rows hardly gather in cells, so that an exact search is as fast.
    """
    generator = torch.Generator().manual_seed(0)
    cells = _cells(unit, generator)
    sample = torch.randperm(len(unit), generator=generator)[:_SAMPLE].to(unit.device)
    truth = exact(sample)
    probes, recall = 1, _recall(unit, sample, truth, _search(unit, cells, sample, k, 1))
    while recall < WANTED_RECALL:
        probes *= 2
        if probes * _EXACT_PAYS > len(cells.sizes):
            return None
        recall = _recall(unit, sample, truth, _search(unit, cells, sample, k, probes))
    found = torch.empty(len(unit), k, dtype=torch.int64, device=unit.device)
    # Neighbours in the list look into the same cells.
    for rows in cells.rows.split(max(1, _FOUND_AT_ONCE // (probes * k))):
        found[rows] = _search(unit, cells, rows, k, probes)
    short = (found < 0).any(1).nonzero().squeeze(1)  # fewer than k rows in the cells looked into
    if len(short):
        found[short] = exact(short)
    return Found(found, recall)


def _cells(unit: Tensor, generator: torch.Generator) -> _Cells:
    count = max(1, min(int(_CELLS_PER_ROOT * len(unit) ** 0.5), len(unit) // _LEARNED_PER_CELL))
    learned = torch.randperm(len(unit), generator=generator)[: count * _LEARNED_PER_CELL].sort().values
    centroids = kmeans(unit[learned.to(unit.device)], count, generator, _ITERATIONS)
    of_row = nearest(unit, centroids)
    return _Cells(centroids, of_row.argsort(stable=True), of_row.bincount(minlength=count).tolist())


def _search(unit: Tensor, cells: _Cells, rows: Tensor, k: int, probes: int) -> Tensor:
    """`[b, k]`, each of the `rows` `[b]` among its own; -1 where the cells hold too few."""
    queries = unit[rows]
    probed = _nearest_cells(queries, cells.centroids, probes)  # [b, p]
    best = _Best(unit.new_full((*probed.shape, k), -torch.inf), rows.new_full((*probed.shape, k), -1))
    _look(unit, cells, queries, probed[:, :1], best, queries.new_full((len(rows),), -torch.inf))
    if probes > 1:
        # Few cells but the nearest hold anything better than the k-th best of that one, and most need no sorting.
        bound = best.similarities[:, 0].amin(1)
        others = _Best(best.similarities[:, 1:], best.rows[:, 1:])
        _look(unit, cells, queries, probed[:, 1:], others, bound)
    chosen = best.similarities.view(len(rows), -1).topk(k).indices
    found = best.rows.view(len(rows), -1).gather(1, chosen)
    missing = ~(found == rows[:, None]).any(1)  # others are equal to it
    found[missing, -1] = rows[missing]
    return found


def _look(unit: Tensor, cells: _Cells, queries: Tensor, probed: Tensor, best: _Best, bound: Tensor) -> None:
    """Compare queries `[b, F]` with the cells `probed` `[b, p]`, and note in `best` the k of each above the bound."""
    flat, width, k = probed.reshape(-1), probed.shape[1], best.rows.shape[2]
    asking = flat.argsort(stable=True).split(flat.bincount(minlength=len(cells.sizes)).tolist())
    for members, slots in zip(cells.rows.split(cells.sizes), asking, strict=True):
        if not len(slots) or not len(members):
            continue
        columns, kept = unit[members].T, min(k, len(members))
        for part in slots.split(max(_LEAST_ROWS, _BLOCK_ENTRIES // len(members))):
            query = part // width
            similarities = queries[query] @ columns
            better = (similarities.amax(1) > bound[query]).nonzero().squeeze(1)
            top = similarities[better].topk(kept, sorted=False)
            query, place = query[better], part[better] % width
            best.similarities[query, place, :kept] = top.values
            best.rows[query, place, :kept] = members[top.indices]


def _nearest_cells(queries: Tensor, centroids: Tensor, probes: int) -> Tensor:
    """The cells nearest to each query, nearest first, `[b, probes]`; the measure is that of `nearest`."""
    offsets = centroids.square().sum(1) / -2
    blocks = queries.split(max(_LEAST_ROWS, _BLOCK_ENTRIES // len(centroids)))
    return torch.cat([torch.addmm(offsets, block, centroids.T).topk(probes).indices for block in blocks])


def _recall(unit: Tensor, rows: Tensor, truth: Tensor, found: Tensor) -> float:
    """Share of the found that are as near as the farthest of the true: which of equals is found does not matter."""

    def similarities(neighbours: Tensor) -> Tensor:
        values = torch.einsum("bf,bkf->bk", unit[rows], unit[neighbours])
        return values.masked_fill((neighbours < 0) | (neighbours == rows[:, None]), torch.nan)

    bound = similarities(truth).nan_to_num(torch.inf).amin(1, keepdim=True)
    return float((similarities(found) >= bound - 1e-6).sum() / (len(rows) * (truth.shape[1] - 1)))
