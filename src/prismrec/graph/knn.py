"""The k-nearest-neighbour graph of feature vectors by cosine, without ever holding an I x I matrix.

The neighbours are found block by block, without a gradient; the similarities of those kept are then computed again
with one. Which neighbours are kept is a constant, so value and gradient are those of the dense way.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from prismrec.graph.sparse import SparseMatrix, sampled_product

_BLOCK_ENTRIES = 1 << 19
"""Similarities held at once: 2 MB in float32."""


@dataclass(frozen=True, eq=False)
class NeighbourGraph:
    """Ŝ: directed, k stored entries in every row, its own node (similarity 1) among them. Build it with `knn_graph`.

    Attributes:
        pattern: where entries are stored; its own values mean nothing.
        similarities: the entries, cosines with negative ones set to 0, row-major `[I k]`.
    """

    pattern: SparseMatrix
    similarities: Tensor

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


def knn_graph(features: Tensor, k: int) -> NeighbourGraph:
    """The graph of each row's k largest cosines, itself included (LATTICE, Zhang et al., MM 2021, Eqs. 1-2).

    A zero row is similar to itself alone, with 1. The kept cosines are differentiable in `features`.

    Args:
        features: `[I, F]`.
        k: neighbours per row, its own node among them; at most I are there.

    Raises:
        ValueError: k is below 1.
    """
    nearest = nearest_neighbours(features.detach(), k).cpu().numpy()
    count, k = nearest.shape
    offsets = np.arange(0, count * k + 1, k)
    ones = np.ones(count * k, dtype=np.float32)
    pattern = SparseMatrix(csr_matrix((ones, nearest.reshape(-1), offsets), shape=(count, count))).to(features.device)
    unit = _unit_rows(features)
    cosines = sampled_product(pattern, unit, unit).clamp(min=0)
    # The cosine with itself is 1 whatever the row; so it also is for a zero row.
    return NeighbourGraph(pattern, torch.where(pattern.rows == pattern.indices, 1.0, cosines))


@torch.no_grad()
def nearest_neighbours(features: Tensor, k: int) -> Tensor:
    """The k rows most similar by cosine to each row of `features` `[I, F]`: int64 `[I, min(k, I)]`, ascending.

    Exact, in memory of one block of rows. A row is its own nearest; among equals the lowest number is nearest.

    Raises:
        ValueError: k is below 1.
    """
    if k < 1:
        raise ValueError(f"k is {k}, expected 1 or more")
    unit = _unit_rows(features)
    count = len(unit)
    k = min(k, count)
    nearest = torch.empty(count, k, dtype=torch.int64, device=features.device)
    block = max(1, _BLOCK_ENTRIES // max(1, count))
    for start in range(0, count, block):
        similarity = unit[start : start + block] @ unit.T  # [b, I]
        similarity.diagonal(start).fill_(torch.inf)
        best = similarity.topk(min(k + 1, count))
        chosen = best.indices[:, :k].sort(1).values
        if k < count:
            tied = (best.values[:, k - 1] == best.values[:, k]).nonzero().squeeze(1)
            chosen[tied] = _first_of_equals(similarity[tied], best.values[tied, k - 1 : k], k)
        nearest[start : start + block] = chosen
    return nearest


def _first_of_equals(similarity: Tensor, bound: Tensor, k: int) -> Tensor:
    """The k best columns of each row where several equal the k-th best value `bound` `[b, 1]`: the lowest of those."""
    above, equal = similarity > bound, similarity == bound
    room = k - above.sum(1, keepdim=True)
    return (above | (equal & (equal.cumsum(1) <= room))).nonzero()[:, 1].view(-1, k)


def _unit_rows(features: Tensor) -> Tensor:
    # A zero row is divided by infinity: it stays zero, and so does its gradient.
    norms = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    return features / torch.where(norms > 0, norms, torch.inf)
