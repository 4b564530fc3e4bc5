"""The shared operations beside the limits of the machine: its own copy and its own matrix product in the same run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from prismrec.data import Dataset
from prismrec.evaluation.ranking import rank
from prismrec.experiments.bench import timed
from prismrec.graph import SparseMatrix
from prismrec.nn import info_nce
from prismrec.selection import best_keys, runs
from prismrec.types import Embeddings

_COPIED = 1 << 26
"""Bytes of the copy, far beyond any cache."""
_TOP = 50
"""Length of the lists."""
_NARROW = 4
"""Columns of narrow rows, as many as LGMRec has hyperedges."""
_SQUARE = 2048
"""Rows and columns of the machine's own matrix product."""


@dataclass(frozen=True)
class Limit:
    """One operation and the machine.

    Attributes:
        operation: what was run.
        seconds: the fastest of the repetitions.
        rate: work per second, 10⁹ units of it.
        unit: GB/s or GFLOP/s.
        machine: the rate of the machine's own copy (read and written bytes) or matrix product.
    """

    operation: str
    seconds: float
    rate: float
    unit: Literal["GB/s", "GFLOP/s"]
    machine: float

    @property
    def share(self) -> float:
        """Of the machine's own rate."""
        return self.rate / self.machine


def measure_limits(dataset: Dataset, *, width: int = 64, anchors: int = 2048, repeats: int = 7) -> list[Limit]:
    """The sparse product, the feature product, InfoNCE and the top-k on a data set's sizes, float32, on the CPU.

    What counts as work: for the sparse product the bytes of the matrix, of a row of the operand for every entry and of
    the result; for the products, InfoNCE (value and gradients) and the ranking multiplications and additions of their
    matrix products; for the selection from scores that are there already reading every score once.

    Args:
        dataset: for the sizes, the pattern and the widest features (4,096 wide random ones if it has none).
        width: d.
        anchors: of InfoNCE, against all users.
        repeats: of each operation, after one to warm up.
    """
    train, d, E = dataset.train, width, len(dataset.train)
    U, num_items = train.num_users, train.num_items
    users, items = (torch.nn.functional.normalize(torch.randn(rows, d)) for rows in (U, num_items))
    widest = max(dataset.features.values(), key=lambda matrix: matrix.shape[1], default=None)
    features = torch.randn(num_items, 4096) if widest is None else torch.from_numpy(widest)
    weights = torch.randn(features.shape[1], d)
    matrix, machine = SparseMatrix(train.csr), _Machine(repeats)
    narrow = torch.nn.functional.normalize(users[:, :_NARROW])
    embeddings, scores = Embeddings(users, items), torch.randn(min(U, 256), *runs(num_items, _TOP))
    gathered = 8 * E + 4 * E * d  # bytes of values, columns and rows of the operand
    scored, contrasted = 2.0 * U * num_items * d, 6.0 * anchors * U
    by_copy, by_product = machine.beside_copy, machine.beside_product
    return [
        by_copy(f"A x, {U}×{num_items}, {E} entries, d {d}", gathered + 4 * U * (d + 1), lambda: matrix(items)),
        by_copy("Aᵀ x of the same", gathered + 4 * num_items * (d + 1), lambda: matrix.transposed(users)),
        by_product(
            f"features {num_items}×{features.shape[1]}, d {d}", 2.0 * features.numel() * d, lambda: features @ weights
        ),
        by_product(f"InfoNCE {anchors}×{U}, d {d}", contrasted * d, lambda: _contrast(users, anchors)),
        by_product(f"InfoNCE {anchors}×{U}, d {_NARROW}", contrasted * _NARROW, lambda: _contrast(narrow, anchors)),
        by_product(f"top {_TOP} of {num_items} for {U} users, d {d}", scored, lambda: rank(embeddings, range(U), _TOP)),
        by_copy(f"the selection alone, {len(scores)} users", 4.0 * scores.numel(), lambda: _select(scores)),
    ]


def _contrast(rows: Tensor, anchors: int) -> None:
    """So many of the rows with all of them, value and gradients."""
    chosen = torch.arange(anchors) % len(rows)
    first, second = rows[chosen].requires_grad_(), rows.clone().requires_grad_()
    info_nce(first, second, chosen, 0.2, cosines=True).backward()


def _select(scores: Tensor) -> Tensor:
    return best_keys(scores, 0, _TOP, torch.empty(len(scores), 0, dtype=torch.int64))


class _Machine:
    """The machine's own copy and matrix product, and operations measured beside them."""

    def __init__(self, repeats: int) -> None:
        source, target = torch.rand(_COPIED // 4), torch.empty(_COPIED // 4)
        left, right, out = torch.rand(_SQUARE, _SQUARE), torch.rand(_SQUARE, _SQUARE), torch.empty(_SQUARE, _SQUARE)
        self.repeats = repeats
        self.copy = 2 * _COPIED / _fastest(lambda: target.copy_(source), repeats) / 1e9
        self.product = 2 * _SQUARE**3 / _fastest(lambda: torch.mm(left, right, out=out), repeats) / 1e9

    def beside_copy(self, operation: str, work: float, action: Callable[[], object]) -> Limit:
        seconds = _fastest(action, self.repeats)
        return Limit(operation, seconds, work / seconds / 1e9, "GB/s", self.copy)

    def beside_product(self, operation: str, work: float, action: Callable[[], object]) -> Limit:
        seconds = _fastest(action, self.repeats)
        return Limit(operation, seconds, work / seconds / 1e9, "GFLOP/s", self.product)


def _fastest(action: Callable[[], object], repeats: int) -> float:
    action()
    return min(timed(action) for _ in range(repeats))
