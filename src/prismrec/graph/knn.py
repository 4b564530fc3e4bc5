"""The k-nearest-neighbour graph of feature vectors by cosine, without an I × I matrix.

Neighbours are found without a gradient, block by block; above a number of rows, by an approximate index. The
similarities of the neighbours are then computed again with a gradient. The choice of neighbours has no gradient, so
value and gradient equal those of the dense computation.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from prismrec.errors import InputError
from prismrec.graph.approximate import Neighbours, approximate_neighbours
from prismrec.ops import SparseMatrix, block_entries, sampled_product
from prismrec.ops.device import fingerprint
from prismrec.ops.topk import group_shape, top_k_keys, unpack_keys

_BLOCK_ENTRIES = 1 << 21
"""Similarities held at once on a CPU, 8 MB in float32."""
_LEAST_ROWS = 64
"""The fewest rows of a block: each block reads all vectors once."""
EXACT_UP_TO = 1 << 15
"""The largest number of rows for which `auto` is exact."""

Method = Literal["auto", "exact", "approximate"]


@dataclass(frozen=True, eq=False)
class NeighbourGraph:
    """Ŝ, a directed graph with k stored entries in every row, the node itself among them. Built by `knn_graph`.

    Attributes:
        pattern: where entries are stored; its values are not used.
        similarities: the entries, cosines with negative values set to 0, row-major `[I k]`.
        recall: share of the true neighbours that were found, measured on a sample; 1 for an exact search.
    """

    pattern: SparseMatrix
    similarities: Tensor
    recall: float

    @property
    def degrees(self) -> Tensor:
        """Row sums δ `[I]`; at least 1, the similarity of a node to itself."""
        return self.similarities.view(self.pattern.shape[0], -1).sum(1)

    def normalised(self, degrees: Tensor | None = None) -> Tensor:
        """The entries ŝ_ij / √(δ_i δ_j) of 𝓛(Ŝ), `[I k]` (LATTICE, Zhang et al., MM 2021, Eq. 3).

        Args:
            degrees: `[I]`, used on both sides instead of the row sums of this graph.
        """
        scale = (self.degrees if degrees is None else degrees).rsqrt()
        rows, columns = self.pattern.rows, self.pattern.indices
        return self.similarities * scale.index_select(0, rows) * scale.index_select(0, columns)

    def operator(self) -> SparseMatrix:
        """𝓛(Ŝ) `[I, I]` as a constant."""
        return self.pattern.with_values(self.normalised().detach())


def knn_graph(
    features: Tensor, k: int, method: Method = "auto", neighbours: Neighbours | None = None
) -> NeighbourGraph:
    """The graph of the k largest cosines of each row, itself included (LATTICE, Zhang et al., MM 2021, Eqs. 1-2).

    A zero row is similar to itself alone, with 1. The cosines are differentiable in `features`.

    Args:
        features: `[I, F]`.
        k: neighbours per row, the row itself among them; at most I are found.
        method: how to search, as in `nearest_neighbours`.
        neighbours: the result of the search, if known; then `method` is ignored.

    Raises:
        ValueError: k is below 1.
        InputError: the norm of a row is NaN or infinite.
    """
    unit = _unit_rows(features)
    neighbours = neighbours or _search(unit.detach(), k, method)
    ones = torch.ones_like(neighbours.rows, dtype=torch.float32)
    pattern = SparseMatrix.from_even_rows(neighbours.rows, ones, len(unit))
    cosines = sampled_product(pattern, unit, unit).clamp(min=0)
    # Each row has the cosine 1 with itself; this also holds for zero rows.
    similarities = torch.where(pattern.rows == pattern.indices, 1.0, cosines)
    return NeighbourGraph(pattern, similarities, neighbours.recall)


class NeighbourSearch:
    """`knn_graph` of vectors that change from epoch to epoch.

    The first step of an epoch reads the vectors that the evaluation before it read, so it reuses their neighbours.
    """

    def __init__(self, k: int) -> None:
        """Search for k neighbours per row, the row itself among them."""
        self._k = k
        self._evaluated: tuple[Tensor, Neighbours] | None = None

    def __call__(self, features: Tensor, *, training: bool) -> NeighbourGraph:
        """The graph of `features` `[I, F]`.

        Args:
            features: the current vectors.
            training: whether a training step asks; else an evaluation asks, whose neighbours are kept.
        """
        current = fingerprint(features.detach())
        evaluated = self._evaluated
        self._evaluated = None
        if training and evaluated is not None and torch.equal(evaluated[0], current):
            return knn_graph(features, self._k, neighbours=evaluated[1])
        neighbours = nearest_neighbours(features, self._k)
        if not training:
            self._evaluated = current, neighbours
        return knn_graph(features, self._k, neighbours=neighbours)


@torch.no_grad()
def nearest_neighbours(features: Tensor, k: int, method: Method = "auto") -> Neighbours:
    """The k rows with the largest cosine to each row, int64 `[I, min(k, I)]` in ascending order.

    Each row is its own nearest neighbour. In an exact search, ties go to the lowest row number. A zero row has the
    cosine 0 with all others, so its neighbours are the lowest row numbers.

    Args:
        features: `[I, F]`.
        k: neighbours per row, the row itself among them.
        method: `exact`, in the memory of one block of rows; `approximate`; or `auto`, which is approximate above
            `EXACT_UP_TO` rows. An approximate search finds at least 0.97 of the true neighbours of a sample of rows.
            If the rows form so few clusters that it would not be faster, the search is exact.

    Raises:
        ValueError: k is below 1.
        InputError: the norm of a row is NaN or infinite.
    """
    return _search(_unit_rows(features), k, method)


@torch.no_grad()
def _search(unit: Tensor, k: int, method: Method) -> Neighbours:
    if k < 1:
        raise ValueError(f"k is {k}, expected 1 or more")
    if not unit.isfinite().all():
        row = int((~unit.isfinite()).any(1).nonzero()[0])
        raise InputError(f"features of item {row}", "a norm that is NaN or infinite", "features of smaller scale")
    k = min(k, len(unit))
    if k > 1 and (method == "approximate" or (method == "auto" and len(unit) > EXACT_UP_TO)):
        found = _approximate(unit, k)
        if found is not None:
            return found
    return Neighbours(_exact(unit, torch.arange(len(unit), device=unit.device), k), 1.0)


def _approximate(unit: Tensor, k: int) -> Neighbours | None:
    """The approximate search among the rows that are not zero; None if an exact search is as fast.

    The neighbours of zero rows are the lowest row numbers, as in an exact search.
    """
    nonzero = unit.any(1).nonzero().squeeze(1)
    if len(nonzero) < k:
        return None
    vectors = unit if len(nonzero) == len(unit) else unit[nonzero]
    found = approximate_neighbours(vectors, k, lambda rows: _exact(vectors, rows, k))
    if found is None:
        return None
    numbers = torch.arange(len(unit), device=unit.device)
    nearest = numbers[:k].repeat(len(unit), 1)
    nearest[k:, -1] = numbers[k:]
    nearest[nonzero] = nonzero[found.rows]
    return Neighbours(nearest.sort(1).values, found.recall)


def _exact(unit: Tensor, rows: Tensor, k: int) -> Tensor:
    """The k nearest neighbours of the given rows `[n]`, `[n, k]` in ascending order; computed in single precision."""
    unit = unit.float()
    count = len(unit)
    width, groups = group_shape(count, k)
    size = max(_LEAST_ROWS, block_entries(unit, _BLOCK_ENTRIES) // max(1, count))
    buffer = unit.new_full((min(size, len(rows)), width * groups), -torch.inf)
    nearest = torch.empty(len(rows), k, dtype=torch.int64, device=unit.device)
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        similarities = buffer[: len(block)]
        torch.mm(unit[block], unit.T, out=similarities[:, :count])
        similarities.scatter_(1, block[:, None], torch.inf)  # the row itself comes before its duplicates
        none_before = block.new_empty(len(block), 0)
        keys = top_k_keys(similarities.view(-1, width, groups), 0, k, none_before)
        nearest[start : start + size] = unpack_keys(keys)[0].sort(1).values
    return nearest


def _unit_rows(features: Tensor) -> Tensor:
    """Rows of length 1; a zero row stays zero, and a row with an infinite norm becomes NaN."""
    norms = torch.linalg.vector_norm(features, dim=1, keepdim=True)  # [I, 1]
    finite_norms = torch.where(norms.isinf(), torch.nan, norms)
    # A zero row is divided by infinity, so its gradient is zero too.
    return features / torch.where(norms == 0, torch.inf, finite_norms)
