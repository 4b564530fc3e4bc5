"""The content graph: which items have similar features, over all modalities."""

from collections.abc import Iterable

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from prismrec.graph.knn import nearest_neighbours
from prismrec.ops import SparseMatrix, unit_rows
from prismrec.ops.eigen import largest_eigenpairs

_LEAST_DEVIATION = 1e-6
"""Columns whose standard deviation is below this share of their largest magnitude are constant up to rounding."""


_RIDGE = 0.1
"""The ridge of `explaining_factors`, relative to the mean eigenvalue."""


@torch.no_grad()
def content_graph(features: Iterable[Tensor], neighbours: int) -> SparseMatrix | None:
    """C = ½ (G + Gᵀ), G = 1/M Σ_m G^m, with G^m_ij = 1/k if j is one of the k items most similar to i in modality m.

    Similarity is the cosine of standardised features. An item is not its own neighbour. Items that lack a modality, and
    items whose features are all average, have no neighbours in it.

    Args:
        features: M matrices `[I, F_m]`; the rows of items that lack the modality are NaN.
        neighbours: k.

    Returns:
        C `[I, I]`, symmetric; None without modalities.

    Raises:
        InputError: the norm of a row is infinite.
    """
    graphs = [_neighbour_graph(standardised_rows(matrix), neighbours) for matrix in features]
    if not graphs:
        return None
    mean = sum(graphs[1:], start=graphs[0]) / len(graphs)
    return SparseMatrix(csr_matrix((mean + mean.T) / 2))


@torch.no_grad()
def explaining_factors(features: Iterable[Tensor], width: int) -> Tensor | None:
    """Y with H = Y Yᵀ, the ridge regression of any signal on the items on their features.

    With X `[I, F]` the standardised features of all modalities side by side, of which the `width` largest principal
    directions are kept, H = X (Xᵀ X + ρ)^-1 Xᵀ. H x is the part of x that the features explain.

    Args:
        features: M matrices `[I, F_m]`; the rows of items that lack the modality are NaN.
        width: r; Σ F_m if there are fewer features.

    Returns:
        `[I, r]`; None without modalities.
    """
    rows = [standardised_rows(matrix) for matrix in features]
    if not rows:
        return None
    x = torch.cat(rows, 1).to(torch.get_default_dtype())  # X [I, F]
    values, directions = largest_eigenpairs(lambda y: x.T @ (x @ y), x.new_empty(x.shape[1], 0), width)
    values = values.clamp(min=0)
    ridge = (_RIDGE * values.mean()).clamp(min=torch.finfo(x.dtype).tiny)  # ρ
    return x @ directions * (values + ridge).rsqrt()


def standardised_rows(features: Tensor) -> Tensor:
    """Columns of mean 0 and variance 1 over the items that have the modality, then rows of length 1, `[I, F]`.

    Rows of items that lack the modality are 0, and so are constant columns.
    """
    present = ~features.isnan().any(1)
    if not present.any():
        return torch.zeros_like(features)
    variance, mean = torch.var_mean(features[present], dim=0, correction=0)
    deviation = variance.sqrt()
    largest = features[present].abs().amax(0)
    scale = torch.where(deviation > _LEAST_DEVIATION * largest, deviation, torch.inf)
    return unit_rows(torch.where(present[:, None], (features - mean) / scale, 0.0))


def _neighbour_graph(unit: Tensor, neighbours: int) -> csr_matrix:
    """G^m of rows of length 1 or 0."""
    count = len(unit)
    known = unit.any(1).nonzero().squeeze(1)  # [n]
    k = min(neighbours, len(known) - 1)
    if k < 1:
        return csr_matrix((count, count), dtype=np.float64)
    nearest = nearest_neighbours(unit[known], k + 1).rows  # [n, k + 1], each row itself among them
    others = nearest != torch.arange(len(known))[:, None]  # each row has itself once
    rows = known.repeat_interleave(k).numpy()
    columns = known.index_select(0, nearest[others]).numpy()
    return csr_matrix((np.full(len(rows), 1 / k), (rows, columns)), shape=(count, count))
