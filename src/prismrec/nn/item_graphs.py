"""Item graphs of modalities, learned by LATTICE (MM 2021) and MICRO (TKDE 2023), frozen by LUDP (TOMM 2023)."""

from collections.abc import Callable, Iterator, Sequence

import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from prismrec.graph import knn_graph
from prismrec.nn.features import Features
from prismrec.ops import SparseMatrix, take_rows
from prismrec.ops.device import on_cpu

GraphOperator = Callable[[Tensor], Tensor]
"""From the nodes `[I, d]` to what they receive, `[I, d]`."""


class SimilarityGraphs(nn.ModuleList):
    """S̃^m of every modality, constant: the normalised kNN graph of its features (LATTICE, Eqs. 1-3)."""

    def __init__(self, features: Features, neighbours: int) -> None:
        """Search for the neighbours of each item, itself among them, in every modality."""
        super().__init__(knn_graph(x, neighbours).operator() for x in features)

    def __iter__(self) -> Iterator[SparseMatrix]:
        """The matrices `[I, I]`."""
        for graph in super().__iter__():
            assert isinstance(graph, SparseMatrix)
            yield graph


class Projections(nn.Module):
    """X̃^m = X^m W^mᵀ + b^m of every modality (LATTICE, Eq. 4)."""

    def __init__(self, features: Features, width: int, *, train_features: bool) -> None:
        """Create linear maps, initialised like `torch.nn.Linear`.

        Args:
            features: X^m, `[I, F_m]` each.
            width: d', the width of all X̃^m.
            train_features: whether the features are trained too, from these values, as in the official code.
        """
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(columns, width) for columns in features.widths)
        self.tables = nn.ParameterList(x.clone() for x in features) if train_features else features

    def forward(self, rows: Tensor | slice = slice(None)) -> list[Tensor]:
        """X̃^m of the given items, M × `[n, d']`."""
        return [linear(take_rows(table, rows)) for linear, table in zip(self.maps, self.tables, strict=True)]


class GraphSum:
    """Σ_t A_t x for matrices with different patterns, whose entries may have gradients.

    The matrices are not added before the product, so neither the product nor its gradient searches for common entries.
    """

    def __init__(self, terms: Sequence[tuple[SparseMatrix, Tensor]]) -> None:
        """Keep the terms: patterns A_t with the same number of entries in every row, and their entries `[n]`."""
        self.terms = terms

    def __call__(self, x: Tensor) -> Tensor:
        """`[I, d]` to `[I, d]`."""
        return torch.stack([pattern.weighted(values, x) for pattern, values in self.terms]).sum(0)

    def constant(self) -> SparseMatrix:
        """The sum as one matrix without gradients, the fastest form for repeated products."""
        return self._coalesced() if on_cpu(self.terms[0][1]) else self._side_by_side()

    def _coalesced(self) -> SparseMatrix:
        """Add entries with equal indices."""
        entries = torch.cat([values.detach() for _, values in self.terms]).numpy()
        rows = torch.cat([pattern.rows for pattern, _ in self.terms]).numpy()
        columns = torch.cat([pattern.indices for pattern, _ in self.terms]).numpy()
        total = csr_matrix((entries, (rows, columns)), shape=self.terms[0][0].shape)  # adds entries with equal indices
        return SparseMatrix(total)

    def _side_by_side(self) -> SparseMatrix:
        """Keep entries with equal indices apart, because a GPU multiplies by both faster than the host adds them."""
        count, columns = self.terms[0][0].shape
        indices = torch.cat([pattern.indices.view(count, -1) for pattern, _ in self.terms], 1)
        values = torch.cat([values.detach().view(count, -1) for _, values in self.terms], 1)
        return SparseMatrix.from_even_rows(indices.long(), values, columns)


class OncePerEpoch:
    """Graphs that have a gradient in the first step of an epoch and are constants in its other steps.

    In eval mode, graphs are built from the current weights and are not kept for training.
    """

    def __init__(self) -> None:
        self._constant: list[SparseMatrix] | None = None

    @property
    def constants(self) -> Sequence[SparseMatrix]:
        """The constants of this epoch; empty before its first step."""
        return self._constant or ()

    def start_epoch(self) -> None:
        """Drop the graphs of the last epoch."""
        self._constant = None

    def __call__(self, build: Callable[[], Sequence[GraphSum]], *, training: bool) -> Sequence[GraphOperator]:
        """The current graphs: the constants of this epoch, if training has them already, else those of `build`."""
        if training and self._constant is not None:
            return self._constant
        graphs = build()
        if training:
            self._constant = [graph.constant() for graph in graphs]
        return graphs
