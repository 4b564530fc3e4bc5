"""Approximate nearest neighbours by an inverted file of faiss, whose accuracy is measured before it is used.

Jégou, Douze, Schmid. "Product Quantization for Nearest Neighbor Search." TPAMI 2011 (the inverted file); Johnson,
Douze, Jégou. "Billion-scale similarity search with GPUs." 2017 (faiss). k-means parts the rows into cells, and a row
is compared with those in the cells nearest to it alone. How many cells that must be depends on the data: it is doubled
until the neighbours of a sample of rows, which are also sought exactly, are found.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

WANTED_RECALL = 0.97
"""Share of the true neighbours that the sample must find: 0.95 and a margin, since it is a sample."""
_SAMPLE = 500
"""Rows whose neighbours are sought both ways."""
_CELLS_PER_ROOT = 4
"""Cells are so many times √I: with more, finding the cells would cost more than looking into them."""
_ROWS_PER_CELL = 40
"""Rows of a cell that k-means learns from; faiss warns below 39."""
_ITERATIONS = 5
"""Of k-means; more change the recall by less than one more cell does."""
_EXACT_PAYS = 8
"""Where more than 1/8 of the cells had to be looked into, comparing all with all in dense blocks is faster."""
_BLOCK = 1 << 16
"""Rows added, or asked for, at a time."""

Int64Array = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]


class Found(NamedTuple):
    """Neighbours and how good they are.

    Attributes:
        rows: int64 `[n, k]`, in no order.
        recall: share of the true neighbours among those found for the sample, a row itself not counted.
    """

    rows: Tensor
    recall: float


def is_installed() -> bool:
    """Whether faiss, the extra `ann`, is there."""
    return find_spec("faiss") is not None


def approximate_neighbours(unit: Tensor, k: int, exact: Callable[[Tensor], Tensor]) -> Found | None:
    """The k rows of nearly the largest inner product with each row, itself among them; of equals any.

    The same rows give the same result: the seed is fixed.

    Args:
        unit: rows of length 1, `[n, F]`, on the CPU.
        k: at least 2, at most n.
        exact: from row numbers `[b]` to their true neighbours `[b, k]`.

    Returns:
        None where the rows hardly gather in cells, so that an exact search is faster.
    """
    vectors = np.ascontiguousarray(unit.float().numpy())
    index = _filled_index(vectors)
    sample = np.random.default_rng(0).choice(len(vectors), min(_SAMPLE, len(vectors)), replace=False)
    truth = exact(torch.from_numpy(sample)).numpy()
    index.nprobe, recall = 1, 0.0
    while recall < WANTED_RECALL:
        if index.nprobe * _EXACT_PAYS > index.nlist:
            return None
        recall = _recall(vectors, sample, truth, _search(index, vectors, sample, k))
        index.nprobe *= 2
    index.nprobe //= 2
    blocks = (np.arange(start, min(start + _BLOCK, len(vectors))) for start in range(0, len(vectors), _BLOCK))
    nearest = torch.from_numpy(np.concatenate([_search(index, vectors, rows, k) for rows in blocks]))
    short = (nearest < 0).any(1).nonzero().squeeze(1)  # fewer than k rows in the cells looked into
    if len(short):
        nearest[short] = exact(short)
    return Found(nearest, recall)


def _filled_index(vectors: Float32Array) -> Any:
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    count, width = vectors.shape
    cells = max(1, min(int(_CELLS_PER_ROOT * count**0.5), count // _ROWS_PER_CELL))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, cells, faiss.METRIC_INNER_PRODUCT)
    index.cp.niter, index.cp.spherical = _ITERATIONS, True
    index.cp.max_points_per_centroid = _ROWS_PER_CELL
    learned = np.random.default_rng(1).choice(count, min(cells * _ROWS_PER_CELL, count), replace=False)
    index.train(vectors[np.sort(learned)])
    for start in range(0, count, _BLOCK):
        index.add(vectors[start : start + _BLOCK])
    return index


def _search(index: Any, vectors: Float32Array, rows: Int64Array, k: int) -> Int64Array:
    """`[len(rows), k]`, each row among its own; -1 where there are too few."""
    nearest: Int64Array = index.search(vectors[rows], k)[1]
    missing = ~(nearest == rows[:, None]).any(1)  # k rows or more are equal to it
    nearest[missing, -1] = rows[missing]
    return nearest


def _recall(vectors: Float32Array, rows: Int64Array, truth: Int64Array, found: Int64Array) -> float:
    """Share of the found that are as near as the farthest of the true, so that it is no matter which of equals."""

    def similarities(neighbours: Int64Array) -> Float32Array:
        values = np.einsum("bf,bkf->bk", vectors[rows], vectors[neighbours])
        return np.where((neighbours >= 0) & (neighbours != rows[:, None]), values, np.nan)

    bound = np.nanmin(similarities(truth), axis=1, keepdims=True)
    return float((similarities(found) >= bound - 1e-6).sum() / (len(rows) * (truth.shape[1] - 1)))
