"""Approximate nearest neighbours from an inverted file, whose recall is measured before it is used.

k-means divides the rows into cells, and each row is compared with the rows of its nearest cells only (Jégou, Douze and
Schmid, TPAMI 2011). How many cells to search depends on the data. The number is doubled until nearly all true
neighbours of a sample of rows are found.

All rows that search a cell are compared with it in one dense product. For 65,536 rows of 384 columns this takes half
the time of faiss's inverted file, which searches row by row. With few columns it takes longer.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from prismrec.ops.cluster import kmeans, nearest_centroids

WANTED_RECALL = 0.97
"""Share of the true neighbours of the sample to find: 0.95 and a margin for sampling error."""
_SAMPLE = 500
"""Rows whose true neighbours are found too, to measure the recall."""
_CELLS_PER_ROOT = 4
"""The number of cells is this times √n. With more, finding the nearest ones would cost more than searching them."""
_TRAINING_ROWS_PER_CELL = 40
"""Rows per cell that k-means is trained on."""
_ITERATIONS = 5
"""Iterations of k-means. More of them change the recall by less than searching one more cell."""
_CELLS_PER_PROBE = 8
"""If more than one in this many cells must be searched, an exact search is about as fast."""
_FOUND_AT_ONCE = 1 << 23
"""Neighbours per cell that are held before they are merged, 96 MB."""
_BLOCK_ENTRIES = 1 << 20
"""Similarities held at once, 4 MB in float32."""
_LEAST_ROWS = 64
"""The fewest rows of a block."""


class Neighbours(NamedTuple):
    """The neighbours of all rows.

    Attributes:
        rows: int64 `[n, k]`.
        recall: share of the true neighbours that were found, measured on a sample, not counting the rows themselves.
    """

    rows: Tensor
    recall: float


class _Cells(NamedTuple):
    centroids: Tensor  # [C, F]
    rows: Tensor  # int64 [n], cell by cell
    sizes: list[int]  # [C]


class _Best(NamedTuple):
    """The best rows of each query in each of its cells."""

    similarities: Tensor  # [b, p, k], -inf if there is none
    rows: Tensor  # int64 [b, p, k], -1 if there is none


def approximate_neighbours(unit: Tensor, k: int, exact: Callable[[Tensor], Tensor]) -> Neighbours | None:
    """Nearly all of the k rows with the largest inner products with each row, itself included, in no order.

    The seed is fixed, so the result is a function of the rows. Ties are broken arbitrarily.

    Args:
        unit: rows of length 1, `[n, F]`.
        k: from 2 to n.
        exact: maps row numbers `[b]` to their true neighbours `[b, k]`.

    Returns:
        The neighbours, or None if the rows form so few clusters that an exact search is as fast.
    """
    generator = torch.Generator().manual_seed(0)
    cells = _cells(unit, generator)
    sample = torch.randperm(len(unit), generator=generator)[:_SAMPLE].to(unit.device)
    truth = exact(sample)
    probes = 1  # cells to search per row
    recall = _recall(unit, sample, truth, _search(unit, cells, sample, k, probes))
    while recall < WANTED_RECALL:
        probes *= 2
        if probes * _CELLS_PER_PROBE > len(cells.sizes):
            return None
        recall = _recall(unit, sample, truth, _search(unit, cells, sample, k, probes))
    found = torch.empty(len(unit), k, dtype=torch.int64, device=unit.device)
    # Consecutive rows of this list search the same cells.
    for rows in cells.rows.split(max(1, _FOUND_AT_ONCE // (probes * k))):
        found[rows] = _search(unit, cells, rows, k, probes)
    incomplete = (found < 0).any(1).nonzero().squeeze(1)  # fewer than k rows in the searched cells
    if len(incomplete):
        found[incomplete] = exact(incomplete)
    return Neighbours(found, recall)


def _cells(unit: Tensor, generator: torch.Generator) -> _Cells:
    """The cells of all rows, from a k-means of a random subset."""
    count = max(1, min(int(_CELLS_PER_ROOT * len(unit) ** 0.5), len(unit) // _TRAINING_ROWS_PER_CELL))
    training = torch.randperm(len(unit), generator=generator)[: count * _TRAINING_ROWS_PER_CELL].sort().values
    centroids = kmeans(unit[training.to(unit.device)], count, generator, _ITERATIONS)
    cell_of_row = nearest_centroids(unit, centroids)
    return _Cells(centroids, cell_of_row.argsort(stable=True), cell_of_row.bincount(minlength=count).tolist())


def _search(unit: Tensor, cells: _Cells, rows: Tensor, k: int, probes: int) -> Tensor:
    """The neighbours of `rows` `[b]`, each row among its own, `[b, k]`; -1 if the cells hold too few."""
    queries = unit[rows]
    probed = _nearest_cells(queries, cells.centroids, probes)  # [b, p]
    best = _Best(unit.new_full((*probed.shape, k), -torch.inf), rows.new_full((*probed.shape, k), -1))
    _search_cells(unit, cells, queries, probed[:, :1], best, queries.new_full((len(rows),), -torch.inf))
    if probes > 1:
        # Few other cells hold a row better than the k-th best of the nearest cell, and most need no sorting.
        bound = best.similarities[:, 0].amin(1)
        others = _Best(best.similarities[:, 1:], best.rows[:, 1:])
        _search_cells(unit, cells, queries, probed[:, 1:], others, bound)
    chosen = best.similarities.view(len(rows), -1).topk(k).indices  # [b, k]
    found = best.rows.view(len(rows), -1).gather(1, chosen)  # [b, k]
    missing = ~(found == rows[:, None]).any(1)  # a row may lose its own place to duplicates of it
    found[missing, -1] = rows[missing]
    return found


def _search_cells(unit: Tensor, cells: _Cells, queries: Tensor, probed: Tensor, best: _Best, bound: Tensor) -> None:
    """Compare queries `[b, F]` with the rows of some cells, and store the best of each cell.

    Args:
        unit: all rows `[n, F]`.
        cells: the cells of all rows.
        queries: `[b, F]`.
        probed: the cells to compare each query with, `[b, p]`.
        best: receives the best k rows of each cell in which a row exceeds the bound.
        bound: a similarity for each query, `[b]`.
    """
    k = best.rows.shape[2]
    probes = probed.shape[1]
    cell_of_slot = probed.reshape(-1)  # slot b p + j is the j-th cell of query b
    slots_per_cell = cell_of_slot.bincount(minlength=len(cells.sizes)).tolist()
    slots_of_cell = cell_of_slot.argsort(stable=True).split(slots_per_cell)
    for members, asking in zip(cells.rows.split(cells.sizes), slots_of_cell, strict=True):
        if not len(asking) or not len(members):
            continue
        columns = unit[members].T  # [F, members]
        kept = min(k, len(members))
        for part in asking.split(max(_LEAST_ROWS, _BLOCK_ENTRIES // len(members))):
            query = part // probes
            similarities = queries[query] @ columns  # [queries, members]
            better = (similarities.amax(1) > bound[query]).nonzero().squeeze(1)
            top = similarities[better].topk(kept, sorted=False)
            query = query[better]
            place = part[better] % probes
            best.similarities[query, place, :kept] = top.values
            best.rows[query, place, :kept] = members[top.indices]


def _nearest_cells(queries: Tensor, centroids: Tensor, probes: int) -> Tensor:
    """The nearest cells of each query, nearest first, `[b, probes]`; distances as in `nearest_centroids`."""
    offsets = centroids.square().sum(1) / -2
    blocks = queries.split(max(_LEAST_ROWS, _BLOCK_ENTRIES // len(centroids)))
    return torch.cat([torch.addmm(offsets, block, centroids.T).topk(probes).indices for block in blocks])


def _recall(unit: Tensor, rows: Tensor, truth: Tensor, found: Tensor) -> float:
    """Share of the true neighbours that were found.

    A row as near as the farthest true neighbour counts as a true one, so ties do not matter.

    Args:
        unit: all rows `[n, F]`.
        rows: the sample, int64 `[s]`.
        truth: its true neighbours `[s, k]`.
        found: the neighbours found `[s, k]`, -1 if there are fewer.
    """

    def similarities(neighbours: Tensor) -> Tensor:
        values = torch.einsum("bf,bkf->bk", unit[rows], unit[neighbours])
        return values.masked_fill((neighbours < 0) | (neighbours == rows[:, None]), torch.nan)

    bound = similarities(truth).nan_to_num(torch.inf).amin(1, keepdim=True)  # [s, 1]
    return float((similarities(found) >= bound - 1e-6).sum() / (len(rows) * (truth.shape[1] - 1)))
