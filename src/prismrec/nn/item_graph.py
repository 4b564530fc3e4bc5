"""Item graphs of modalities, as LATTICE (MM 2021), MICRO (TKDE 2023) and, frozen, LUDP (TOMM 2023) use them."""

from collections.abc import Callable, Iterator, Sequence

import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from prismrec.graph import SparseMatrix, knn_graph
from prismrec.nn.features import Features

GraphOperator = Callable[[Tensor], Tensor]
"""From node rows `[I, d]` to what the nodes receive, `[I, d]`."""


class SimilarityGraphs(nn.ModuleList):
    """S̃^m for every modality: the normalised kNN graph of its features as given (LATTICE, Eqs. 1-3), constant."""

    def __init__(self, features: Features, neighbours: int) -> None:
        super().__init__(knn_graph(x, neighbours).operator() for x in features)

    def __iter__(self) -> Iterator[SparseMatrix]:
        """The matrices `[I, I]`."""
        return (graph for graph in super().__iter__() if isinstance(graph, SparseMatrix))


class Projections(nn.Module):
    """X̃^m = X^m W^mᵀ + b^m for every modality (LATTICE, Eq. 4)."""

    def __init__(self, features: Features, width: int, *, train_features: bool) -> None:
        """Weights like those of torch's Linear.

        Args:
            features: X^m, `[I, F_m]` each.
            width: d', that of all X̃^m.
            train_features: whether the features are first values of weights, as in the official code, or constants.
        """
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(columns, width) for columns in features.widths)
        self.tables = nn.ParameterList(x.clone() for x in features) if train_features else features

    def forward(self, rows: Tensor | slice = slice(None)) -> list[Tensor]:
        """X̃^m of the given items, `[n, d']` each."""
        return [map_(table[rows]) for map_, table in zip(self.maps, self.tables, strict=True)]


class GraphSum:
    """Σ_t A_t x, where the matrices have entries in different places, and those entries may have gradients.

    The matrices are never added up before the product, so there is no search for common entries, nor a gradient of it.
    """

    def __init__(self, terms: Sequence[tuple[SparseMatrix, Tensor]]) -> None:
        """Each term is a pattern and its entries `[n]`, as many in every row; the pattern's own values are not used."""
        self.terms = terms

    def __call__(self, x: Tensor) -> Tensor:
        """`[I, d]` to `[I, d]`."""
        return torch.stack([pattern.weighted(values, x) for pattern, values in self.terms]).sum(0)

    def constant(self) -> SparseMatrix:
        """The same as one matrix without gradients: what many products with it are fastest with."""
        return self._coalesced() if self.terms[0][1].is_cpu else self._side_by_side()

    def _coalesced(self) -> SparseMatrix:
        parts = [(values.detach(), pattern.rows, pattern.indices) for pattern, values in self.terms]
        entries, rows, columns = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
        total = csr_matrix((entries, (rows, columns)), shape=self.terms[0][0].shape)  # adds what shares a place
        return SparseMatrix(total)

    def _side_by_side(self) -> SparseMatrix:
        """Entries in the same place are not added up, which takes a host longer than a GPU to multiply by both."""
        count, columns = self.terms[0][0].shape
        indices = torch.cat([pattern.indices.view(count, -1) for pattern, _ in self.terms], 1)
        values = torch.cat([values.detach().view(count, -1) for _, values in self.terms], 1)
        return SparseMatrix.from_even_rows(indices.long(), values, columns)


class OncePerEpoch:
    """Graphs that are built with a gradient at the first step of an epoch and are constants at its later steps.

    In eval mode they are built anew from the weights, and training never sees those.
    """

    def __init__(self) -> None:
        self._constant: list[SparseMatrix] | None = None

    def start_epoch(self) -> None:
        """Forget the last epoch's."""
        self._constant = None

    def __call__(self, build: Callable[[], Sequence[GraphSum]], *, training: bool) -> Sequence[GraphOperator]:
        """The graphs to use now: what `build` gives, or in a later step the constants of the epoch's first."""
        if training and self._constant is not None:
            return self._constant
        graphs = build()
        if training:
            self._constant = [graph.constant() for graph in graphs]
        return graphs
