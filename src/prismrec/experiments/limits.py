"""The speed of shared operations relative to the machine's limits, a memory copy and a matrix product."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from prismrec.data import Dataset
from prismrec.experiments.bench import timed
from prismrec.ops import SparseMatrix, info_nce
from prismrec.ops.topk import group_shape, top_k_keys
from prismrec.retrieval import rank
from prismrec.types import Embeddings

_COPIED = 1 << 26
"""Bytes of the copy, far more than any cache."""
_TOP = 50
"""Length of the lists."""
_NARROW = 4
"""Columns of narrow rows, the number of hyperedges of LGMRec."""
_SQUARE = 2048
"""Rows and columns of the matrices of the reference product."""


@dataclass(frozen=True)
class Limit:
    """The speed of one operation beside the limit of the machine.

    Attributes:
        operation: what was run.
        seconds: time of the fastest repetition.
        rate: work per second, in 10⁹ units.
        unit: GB/s or GFLOP/s.
        machine: rate of the memory copy (bytes read and written) or of the matrix product of this machine.
    """

    operation: str
    seconds: float
    rate: float
    unit: Literal["GB/s", "GFLOP/s"]
    machine: float

    @property
    def share(self) -> float:
        """The rate relative to that of the machine."""
        return self.rate / self.machine


def measure_limits(dataset: Dataset, *, width: int = 64, anchors: int = 2048, repeats: int = 7) -> list[Limit]:
    """Measure the sparse product, the feature product, InfoNCE and the ranking on the sizes of a data set.

    Everything is in float32 on the CPU. The work of an operation is:

    - sparse product: the bytes of the matrix, of one row of the operand per entry, and of the result;
    - feature product, InfoNCE (value and gradients) and ranking: the multiplications and additions of their matrix
      products;
    - selection: the bytes of all scores.

    Args:
        dataset: gives the sizes, the pattern and the widest features (random ones of 4,096 columns if it has none).
        width: d.
        anchors: number of anchors of InfoNCE; all users are candidates.
        repeats: repetitions of each operation, after one to warm up.
    """
    train, d = dataset.train, width
    U, num_items, E = train.num_users, train.num_items, len(train)
    users = torch.nn.functional.normalize(torch.randn(U, d))
    items = torch.nn.functional.normalize(torch.randn(num_items, d))
    narrow = torch.nn.functional.normalize(users[:, :_NARROW])
    features = _widest_features(dataset)
    weights = torch.randn(features.shape[1], d)
    matrix = SparseMatrix(train.csr)
    scores = torch.randn(min(U, 256), *group_shape(num_items, _TOP))
    gathered = 8 * E + 4 * E * d  # bytes of values, column numbers and rows of the operand
    contrasted = 6.0 * anchors * U  # multiplications and additions per column, in three products
    machine = _Machine(repeats)
    return [
        machine.compare_copy(
            f"A x, {U}×{num_items}, {E} entries, d {d}", gathered + 4 * U * (d + 1), lambda: matrix(items)
        ),
        machine.compare_copy("Aᵀ x of the same", gathered + 4 * num_items * (d + 1), lambda: matrix.transposed(users)),
        machine.compare_product(
            f"features {num_items}×{features.shape[1]}, d {d}", 2.0 * features.numel() * d, lambda: features @ weights
        ),
        machine.compare_product(f"InfoNCE {anchors}×{U}, d {d}", contrasted * d, lambda: _contrast(users, anchors)),
        machine.compare_product(
            f"InfoNCE {anchors}×{U}, d {_NARROW}", contrasted * _NARROW, lambda: _contrast(narrow, anchors)
        ),
        machine.compare_product(
            f"top {_TOP} of {num_items} for {U} users, d {d}",
            2.0 * U * num_items * d,
            lambda: rank(Embeddings(users, items), range(U), _TOP),
        ),
        machine.compare_copy(f"selection alone, {len(scores)} users", 4.0 * scores.numel(), lambda: _select(scores)),
    ]


def _widest_features(dataset: Dataset) -> Tensor:
    widest = max(dataset.features.values(), key=lambda matrix: matrix.shape[1], default=None)
    return torch.randn(dataset.train.num_items, 4096) if widest is None else torch.from_numpy(widest)


def _contrast(rows: Tensor, anchors: int) -> None:
    """InfoNCE of the first rows with all rows, value and gradients."""
    chosen = torch.arange(anchors) % len(rows)
    first = rows[chosen].requires_grad_()
    second = rows.clone().requires_grad_()
    info_nce(first, second, chosen, 0.2, cosines=True).backward()


def _select(scores: Tensor) -> Tensor:
    return top_k_keys(scores, 0, _TOP, torch.empty(len(scores), 0, dtype=torch.int64))


class _Machine:
    """Measures the copy and the matrix product of the machine, and compares operations with them."""

    def __init__(self, repeats: int) -> None:
        source = torch.rand(_COPIED // 4)
        target = torch.empty_like(source)
        left = torch.rand(_SQUARE, _SQUARE)
        right = torch.rand(_SQUARE, _SQUARE)
        product = torch.empty(_SQUARE, _SQUARE)
        self.repeats = repeats
        self.copy_rate = 2 * _COPIED / _fastest(lambda: target.copy_(source), repeats) / 1e9
        self.product_rate = 2 * _SQUARE**3 / _fastest(lambda: torch.mm(left, right, out=product), repeats) / 1e9

    def compare_copy(self, operation: str, work: float, action: Callable[[], object]) -> Limit:
        """Compare an operation that moves `work` bytes."""
        seconds = _fastest(action, self.repeats)
        return Limit(operation, seconds, work / seconds / 1e9, "GB/s", self.copy_rate)

    def compare_product(self, operation: str, work: float, action: Callable[[], object]) -> Limit:
        """Compare an operation with `work` multiplications and additions."""
        seconds = _fastest(action, self.repeats)
        return Limit(operation, seconds, work / seconds / 1e9, "GFLOP/s", self.product_rate)


def _fastest(action: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of some calls, after one to warm up."""
    action()
    return min(timed(action) for _ in range(repeats))
