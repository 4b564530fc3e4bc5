"""Items in inverted lists (faiss), which find the best items of a query without comparing it with all.

Each item is in the list of the nearest centroid of k-means, by Euclidean distance. A query reads the lists whose
centroids have the largest inner products with it. Lists by the largest inner product would be worse: long vectors
gather in few of them. docs/retrieval.md compares other libraries and methods.

Letters: n queries, C lists, d width.
"""

from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from prismrec.errors import InputError
from prismrec.retrieval.ranking import Int64Array, largest_entry
from prismrec.types import BoolArray, FloatArray

_LISTS_PER_ROOT = 4
"""C is this many times the square root of I."""
_LEAST_PER_LIST = 8
_STEPS = 8
"""Rounds of k-means."""
_SAMPLED_PER_LIST = 64
"""Items per list from which k-means learns the centroids."""
_BYTES_AT_ONCE = 1 << 20
_SETTLED = 0.02
"""A thorough search ends when doubling the number of lists changes at most this share of the best items."""


def import_faiss() -> Any:
    """The library, which is an optional dependency.

    Raises:
        InputError: it is not installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise InputError("index", str(error), "faiss: pip install faiss-cpu") from error
    return faiss


class ItemIndex:
    """The items of a matrix in lists.

    Attributes:
        probes: the number of lists that a query reads.
    """

    def __init__(self, lists: Any, probes: int) -> None:
        """Wrap an index of faiss.

        Args:
            lists: an `IndexIVF` for inner products.
            probes: the number of lists that a query reads.
        """
        self.probes = probes
        self._faiss = import_faiss()
        self._lists = lists

    @classmethod
    def build(cls, items: Tensor) -> "ItemIndex":
        """Divide the rows of a matrix into lists; a query reads one list until `probes` is set.

        Args:
            items: float32 `[I, d]`.

        Raises:
            InputError: faiss is not installed, or an entry is NaN or infinite.
        """
        faiss = import_faiss()
        largest = largest_entry("item", items)
        rows = np.ascontiguousarray((items / (largest or 1.0)).numpy())  # squares of large entries would overflow
        width = rows.shape[1]
        count = max(1, min(int(_LISTS_PER_ROOT * len(rows) ** 0.5), len(rows) // _LEAST_PER_LIST))
        faiss.omp_set_num_threads(torch.get_num_threads())
        means = faiss.Kmeans(
            width,
            count,
            niter=_STEPS,
            max_points_per_centroid=_SAMPLED_PER_LIST,
            min_points_per_centroid=1,
            seed=0,
        )
        means.train(rows)
        nearest = faiss.IndexFlatL2(width)
        nearest.add(means.centroids)
        lists = faiss.IndexIVFScalarQuantizer(
            nearest, width, count, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        )
        lists.train(rows)
        lists.add(rows)
        return cls(lists, 1)

    @classmethod
    def read(cls, path: Path, probes: int) -> "ItemIndex":
        """Map a file from `write` into memory.

        Raises:
            InputError: faiss is not installed.
            ValueError: the file is not an index.
        """
        faiss = import_faiss()
        try:
            return cls(faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC), probes)
        except RuntimeError as error:
            raise ValueError(f"no index of faiss: {error}") from error

    def write(self, path: Path) -> None:
        """Write the lists to a file.

        Raises:
            OSError: the file cannot be written.
        """
        with path.open("wb") as file:  # faiss itself does not report a disk that is full when it closes a file
            self._faiss.write_index(self._lists, self._faiss.PyCallbackIOWriter(file.write, _BYTES_AT_ONCE))

    @property
    def shape(self) -> tuple[int, int]:
        """I and d."""
        return self._lists.ntotal, self._lists.d

    @property
    def count(self) -> int:
        """C."""
        return int(self._lists.nlist)

    @cached_property
    def _centroids(self) -> FloatArray:
        """[C, d]."""
        centroids: FloatArray = self._lists.quantizer.reconstruct_n(0, self.count)
        return centroids

    def selector(self, allowed: BoolArray) -> Any:
        """The items that count, bool `[I]`, as `candidates` takes them."""
        return self._faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))

    def candidates(
        self, queries: FloatArray, count: int, *, selector: Any = None, thorough: bool = False
    ) -> Int64Array:
        """The best items of each query by rounded scores, in any order, int64 `[n, count]`; -1 if no more exist.

        Args:
            queries: float32 `[n, d]`.
            count: how many items.
            selector: the items that count, from `selector`; None for all.
            thorough: whether to read lists until they hardly add an item, instead of `probes` lists and as many more as
                it takes to find `count` items.
        """
        affinities = queries @ self._centroids.T  # [n, C]
        order = _largest(affinities, self.probes)
        best = self._scan(queries, order, affinities, count, selector)
        unsettled = np.flatnonzero(np.full(len(queries), thorough) | (best.items < 0).any(1))
        done = self.probes
        if len(unsettled) and done < self.count:
            order = np.argsort(-affinities[unsettled], axis=1, kind="stable")
        while len(unsettled) and done < self.count:
            following = order[:, done : 2 * done]
            more = self._scan(queries[unsettled], following, affinities[unsettled], count, selector)
            merged, added = _merged(_Scanned(best.items[unsettled], best.scores[unsettled]), more)
            best.items[unsettled] = merged.items
            best.scores[unsettled] = merged.scores
            goes_on = (merged.items < 0).any(1) | (thorough & (added > _SETTLED * count))
            unsettled = unsettled[goes_on]
            order = order[goes_on]
            done *= 2
        return best.items

    def _scan(
        self, queries: FloatArray, lists: Int64Array, affinities: FloatArray, count: int, selector: Any
    ) -> "_Scanned":
        """The best items of each query in some lists `[n, p]`."""
        n = len(queries)
        lists = np.ascontiguousarray(lists)
        products = np.ascontiguousarray(np.take_along_axis(affinities, lists, axis=1))  # [n, p]
        found = _Scanned(np.empty((n, count), dtype=np.int64), np.empty((n, count), dtype=np.float32))
        pointer = self._faiss.swig_ptr
        parameters = self._faiss.SearchParametersIVF(nprobe=lists.shape[1], sel=selector)
        # The method without the suffix takes no parameters.
        self._lists.search_preassigned_c(
            n,
            pointer(queries),
            count,
            pointer(lists),
            pointer(products),
            pointer(found.scores),
            pointer(found.items),
            False,
            parameters,
        )
        return found


class _Scanned(NamedTuple):
    """What some lists hold for n queries, the best first."""

    items: Int64Array  # [n, count]; -1 after the end
    scores: FloatArray  # [n, count]


def _largest(values: FloatArray, count: int) -> Int64Array:
    """The positions of the `count` largest values of each row, in any order."""
    if count >= values.shape[1]:
        return np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return np.argpartition(-values, count - 1, axis=1)[:, :count]


def _merged(first: _Scanned, second: _Scanned) -> tuple[_Scanned, Int64Array]:
    """The best of both for each query, and how many of them are of the second, `[n]`."""
    count = first.items.shape[1]
    items = np.concatenate([first.items, second.items], axis=1)
    scores = np.where(items < 0, -np.inf, np.concatenate([first.scores, second.scores], axis=1))
    chosen = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    merged = _Scanned(np.take_along_axis(items, chosen, axis=1), np.take_along_axis(scores, chosen, axis=1))
    added = ((chosen >= count) & (merged.items >= 0)).sum(1)
    return merged, added
