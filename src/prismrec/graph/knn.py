"""The k-nearest-neighbour graph of feature vectors by cosine, without ever holding an I x I matrix.

The neighbours are found block by block, or above a size by an approximate index, without a gradient; the similarities
of those kept are then computed again with one. Which neighbours are kept is a constant, so value and gradient are those
of the dense way.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

import torch
from torch import Tensor

from prismrec.blocks import block_entries
from prismrec.graph.approximate import Found, approximate_neighbours
from prismrec.graph.sparse import SparseMatrix, sampled_product
from prismrec.selection import best_keys, items_and_scores, runs

_BLOCK_ENTRIES = 1 << 21
"""Similarities held at once on a CPU: 8 MB in float32."""
_LEAST_ROWS = 64
"""Yet never fewer rows of them: all vectors are read once per block."""
EXACT_UP_TO = 1 << 15
"""Rows up to which `auto` is exact."""

Method = Literal["auto", "exact", "approximate"]


@dataclass(frozen=True, eq=False)
class NeighbourGraph:
    """Ŝ: directed, k stored entries in every row, its own node (similarity 1) among them. Build it with `knn_graph`.

    Attributes:
        pattern: where entries are stored; its own values mean nothing.
        similarities: the entries, cosines with negative ones set to 0, row-major `[I k]`.
        recall: share of the true neighbours among those kept, measured on a sample; 1 where the search was exact.
    """

    pattern: SparseMatrix
    similarities: Tensor
    recall: float

    @property
    def degrees(self) -> Tensor:
        """Row sums δ, `[I]`; at least 1, the node's similarity to itself."""
        return self.similarities.view(self.pattern.shape[0], -1).sum(1)

    def normalised(self, degrees: Tensor | None = None) -> Tensor:
        """The entries ŝ_ij / √(δ_i δ_j) of 𝓛(Ŝ), `[I k]` (LATTICE, Zhang et al., MM 2021, Eq. 3).

        Args:
            degrees: `[I]`, in place of the graph's own row sums on both sides.
        """
        scale = (self.degrees if degrees is None else degrees).rsqrt()
        rows, columns = self.pattern.rows, self.pattern.indices
        return self.similarities * scale.index_select(0, rows) * scale.index_select(0, columns)

    def operator(self) -> SparseMatrix:
        """𝓛(Ŝ) as a constant."""
        return self.pattern.with_values(self.normalised().detach())


def knn_graph(features: Tensor, k: int, method: Method = "auto", found: Found | None = None) -> NeighbourGraph:
    """The graph of each row's k largest cosines, itself included (LATTICE, Zhang et al., MM 2021, Eqs. 1-2).

    A zero row is similar to itself alone, with 1. The kept cosines are differentiable in `features`.

    Args:
        features: `[I, F]`.
        k: neighbours per row, its own node among them; at most I are there.
        method: how the neighbours are sought, as in `nearest_neighbours`.
        found: the result of that, where it is known.

    Raises:
        ValueError: k is below 1.
    """
    unit = _unit_rows(features)
    found = found or _nearest(unit.detach(), k, method)
    pattern = SparseMatrix.from_even_rows(found.rows, torch.ones_like(found.rows, dtype=torch.float32), len(unit))
    cosines = sampled_product(pattern, unit, unit).clamp(min=0)
    # The cosine with itself is 1 whatever the row; so it also is for a zero row.
    similarities = torch.where(pattern.rows == pattern.indices, 1.0, cosines)
    return NeighbourGraph(pattern, similarities, found.recall)


class NeighbourSearch:
    """`knn_graph` of vectors that change from epoch to epoch.

    An epoch starts from the very vectors that the evaluation before it ended with, so it takes over their neighbours.
    """

    def __init__(self, k: int) -> None:
        """Of k neighbours per row, its own node among them."""
        self._k = k
        self._evaluated: tuple[Tensor, Found] | None = None

    def __call__(self, features: Tensor, *, training: bool) -> NeighbourGraph:
        """The graph of `features` `[I, F]`."""
        sign = _sign_of(features.detach())
        evaluated, self._evaluated = self._evaluated, None
        if training and evaluated is not None and torch.equal(evaluated[0], sign):
            return knn_graph(features, self._k, found=evaluated[1])
        found = nearest_neighbours(features, self._k)
        if not training:
            self._evaluated = sign, found
        return knn_graph(features, self._k, found=found)


def _sign_of(features: Tensor) -> Tensor:
    """What tells these vectors from others: a hash, which saves keeping them; on a GPU, which would wait, they are."""
    if not features.is_cpu:
        return features
    return torch.frombuffer(bytearray(blake2b(features.contiguous().numpy().data).digest()), dtype=torch.uint8)


@torch.no_grad()
def nearest_neighbours(features: Tensor, k: int, method: Method = "auto") -> Found:
    """The k rows most similar by cosine to each row of `features` `[I, F]`: int64 `[I, min(k, I)]`, ascending.

    Exact, in memory of one block of rows, and then of equals the lowest number is nearest; or approximate, and then
    any of equals. A row is its own nearest either way; a zero row is as similar, 0, to all others, so its neighbours
    are those of the lowest numbers.

    Args:
        features: `[I, F]`.
        k: neighbours per row, itself among them.
        method: `exact`, `approximate`, or `auto`: approximate above `EXACT_UP_TO` rows. An approximate search finds at
            least 0.97 of the true neighbours of a sample of rows; where the rows gather in clusters so little that it
            would be no faster than an exact one, it is exact after all.

    Raises:
        ValueError: k is below 1.
    """
    return _nearest(_unit_rows(features), k, method)


@torch.no_grad()
def _nearest(unit: Tensor, k: int, method: Method) -> Found:
    if k < 1:
        raise ValueError(f"k is {k}, expected 1 or more")
    k = min(k, len(unit))
    if k > 1 and (method == "approximate" or (method == "auto" and len(unit) > EXACT_UP_TO)):
        found = _approximate(unit, k)
        if found is not None:
            return found
    return Found(_exact(unit, torch.arange(len(unit), device=unit.device), k), 1.0)


def _approximate(unit: Tensor, k: int) -> Found | None:
    """Zero rows are left out of the search: theirs are the lowest numbers, as in an exact one."""
    filled = unit.any(1).nonzero().squeeze(1)
    if len(filled) < k:
        return None
    vectors = unit if len(filled) == len(unit) else unit[filled]
    found = approximate_neighbours(vectors, k, lambda rows: _exact(vectors, rows, k))
    if found is None:
        return None
    numbers = torch.arange(len(unit), device=unit.device)
    nearest = numbers[:k].repeat(len(unit), 1)
    nearest[k:, -1] = numbers[k:]
    nearest[filled] = filled[found.rows]
    return Found(nearest.sort(1).values, found.recall)


def _exact(unit: Tensor, rows: Tensor, k: int) -> Tensor:
    """The k nearest of the given rows `[n]`: `[n, k]`, ascending; sought in single precision."""
    unit, count = unit.float(), len(unit)
    width, groups = runs(count, k)
    block = max(_LEAST_ROWS, block_entries(unit, _BLOCK_ENTRIES) // max(1, count))
    memory = unit.new_full((min(block, len(rows)), width * groups), -torch.inf)
    nearest = torch.empty(len(rows), k, dtype=torch.int64, device=unit.device)
    for start in range(0, len(rows), block):
        part = rows[start : start + block]
        similarity = memory[: len(part)]
        torch.mm(unit[part], unit.T, out=similarity[:, :count])
        similarity.scatter_(1, part[:, None], torch.inf)  # itself before its equals
        keys = best_keys(similarity.view(-1, width, groups), 0, k, part.new_empty(len(part), 0))
        nearest[start : start + block] = items_and_scores(keys)[0].sort(1).values
    return nearest


def _unit_rows(features: Tensor) -> Tensor:
    # A zero row is divided by infinity: it stays zero, and so does its gradient.
    norms = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    return features / torch.where(norms > 0, norms, torch.inf)
