"""The differentiable sparse product: one pattern, stored row-wise and column-wise with 32-bit indices.

Both orders are kept because the gradient of `A x` is `Aᵀ g`; a product in the stored order is about ten times
faster than PyTorch's own sparse backward, which sorts at every call.
"""

import warnings
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from prismrec import kernels

# The only use made of it is a product with a dense matrix, which is tested here against the plain one.
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
warnings.filterwarnings("ignore", message="Sparse invariant checks are implicitly disabled")

_PATTERN = ("offsets", "indices", "t_offsets", "t_indices", "t_order")
"""The buffers that say where entries are."""
_MANY = 1 << 19
"""Entries from which on a product is left to the compiled kernel. It gives each thread as many entries, PyTorch as many
rows; with rows as uneven as users and items are, two threads take two thirds of the time. On small matrices of short
rows PyTorch's is faster."""


class SparseMatrix(nn.Module):
    """A sparse matrix A `[rows, columns]` with n stored entries, as a module so that it follows `.to()`.

    Attributes:
        values: the stored entries in row-major order, `[n]`.
        shape: (rows, columns).
    """

    offsets: Tensor
    indices: Tensor
    values: Tensor
    t_offsets: Tensor
    t_indices: Tensor
    t_values: Tensor
    t_order: Tensor

    def __init__(self, matrix: csr_matrix) -> None:
        """Take over a SciPy matrix; values become the default floating type.

        Raises:
            ValueError: the matrix is too large for 32-bit indices.
        """
        super().__init__()
        _check_size(matrix.nnz, matrix.shape)
        rows = matrix.tocsr(copy=True)
        rows.sort_indices()
        self.shape: tuple[int, int] = rows.shape
        order = csr_matrix((np.arange(rows.nnz, dtype=np.int64), rows.indices, rows.indptr), rows.shape).tocsc()
        self._constant("offsets", rows.indptr.astype(np.int32))
        self._constant("indices", rows.indices.astype(np.int32))
        self._constant("t_offsets", order.indptr.astype(np.int32))
        self._constant("t_indices", order.indices.astype(np.int32))
        self._constant("t_order", order.data.astype(np.int32))
        self._set_values(torch.as_tensor(rows.data).to(torch.get_default_dtype()))

    @classmethod
    def from_even_rows(cls, indices: Tensor, values: Tensor, columns: int) -> "SparseMatrix":
        """A matrix with equally many entries in every row, on the device of these.

        Args:
            indices: the column of each entry, int64 `[rows, k]`; one that a row names twice has two entries, which
                count together.
            values: `[rows, k]`.
            columns: how many there are.

        Raises:
            ValueError: the matrix is too large for 32-bit indices.
        """
        if not indices.is_cpu:
            return cls._without_host(indices, values, columns)
        count, k = indices.shape
        flat = (x.reshape(-1).numpy() for x in (values, indices))
        return cls(csr_matrix((*flat, np.arange(count + 1) * k), shape=(count, columns)))

    @classmethod
    def _without_host(cls, indices: Tensor, values: Tensor, columns: int) -> "SparseMatrix":
        count, k = indices.shape
        _check_size(count * k, (count, columns))
        ascending, order = indices.reshape(-1).sort(stable=True)
        numbers = torch.arange(max(count, columns) + 1, device=indices.device)
        parts = {
            "offsets": numbers[: count + 1] * k,
            "indices": indices.reshape(-1),
            "t_offsets": torch.searchsorted(ascending, numbers[: columns + 1]),
            "t_indices": order.div(k, rounding_mode="floor"),
            "t_order": order,
        }
        pattern = {name: part.int() for name, part in parts.items()}
        return cls._assembled((count, columns), pattern, values.reshape(-1).to(torch.get_default_dtype()))

    @classmethod
    def _assembled(cls, shape: tuple[int, int], pattern: dict[str, Tensor], values: Tensor) -> "SparseMatrix":
        matrix = cls.__new__(cls)
        nn.Module.__init__(matrix)
        matrix.shape = shape
        for name in _PATTERN:
            matrix.register_buffer(name, pattern[name], persistent=False)
        matrix._set_values(values)
        return matrix

    def _constant(self, name: str, array: "np.ndarray[tuple[int], np.dtype[np.int32]]") -> None:
        self.register_buffer(name, torch.from_numpy(array), persistent=False)

    def _set_values(self, values: Tensor) -> None:
        self.register_buffer("values", values, persistent=False)
        self.register_buffer("t_values", values.index_select(0, self.t_order), persistent=False)

    def with_values(self, values: Tensor) -> "SparseMatrix":
        """The same pattern (shared, not copied) with other constant values `[n]`, row-major."""
        return self._assembled(self.shape, {name: getattr(self, name) for name in _PATTERN}, values)

    @property
    def rows(self) -> Tensor:
        """The row of every stored entry, int64 `[n]`."""
        return torch.repeat_interleave(self.offsets.diff().long(), output_size=len(self.indices))

    def forward(self, x: Tensor) -> Tensor:
        """A x: `[columns, d]` to `[rows, d]`."""
        return _Product.apply(self.values, self.t_values, x, self, False)

    def transposed(self, x: Tensor) -> Tensor:
        """Aᵀ x: `[rows, d]` to `[columns, d]`."""
        return _Product.apply(self.values, self.t_values, x, self, True)

    def weighted(self, values: Tensor, x: Tensor, *, transposed: bool = False) -> Tensor:
        """The product with other values `[n]` on the same pattern; differentiable in values and x."""
        return _Product.apply(values, values.index_select(0, self.t_order), x, self, transposed)

    def add_product(self, base: Tensor, x: Tensor, *, transposed: bool = False, scale: float = 1.0) -> Tensor:
        """scale · (base + A x), or with Aᵀ; not differentiable, for use inside own gradients."""
        if kernels.usable(base, x, self.values):
            return self.product_of_rows(x, base=base, scale=scale, transposed=transposed)
        if _is_bag(x):
            values = self.t_values if transposed else self.values
            scaled = values if scale == 1 else values * scale
            return self._product(scaled, scaled, x, transposed).add_(base, alpha=scale)
        matrix = self._csr(self.values, self.t_values, transposed)
        return torch.addmm(base, matrix, x, beta=scale, alpha=scale)

    def product_of_rows(
        self,
        x: Tensor,
        *,
        rows: Tensor | None = None,
        places: Tensor | None = None,
        base: Tensor | None = None,
        scale: float = 1.0,
        transposed: bool = False,
    ) -> Tensor:
        """`kernels.sparse_product` of A or Aᵀ, which must be usable; not differentiable, for own gradients."""
        stored = self._stored(self.values, self.t_values, transposed)
        return kernels.sparse_product(stored, x, rows=rows, places=places, base=base, scale=scale)

    def _stored(self, values: Tensor, t_values: Tensor, transposed: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Offsets, indices and values of A or Aᵀ, row by row."""
        if transposed:
            return self.t_offsets, self.t_indices, t_values
        return self.offsets, self.indices, values

    def _csr(self, values: Tensor, t_values: Tensor, transposed: bool) -> Tensor:
        shape = self.shape[::-1] if transposed else self.shape
        return torch.sparse_csr_tensor(*self._stored(values, t_values, transposed), shape, check_invariants=False)

    def _product(self, values: Tensor, t_values: Tensor, x: Tensor, transposed: bool) -> Tensor:
        if len(values) >= _MANY and kernels.usable(x, values):
            return kernels.sparse_product(self._stored(values, t_values, transposed), x)
        if _is_bag(x):
            offsets, indices, data = self._stored(values, t_values, transposed)
            return F.embedding_bag(indices, x, offsets, mode="sum", per_sample_weights=data, include_last_offset=True)
        # torch's own `matrix @ x` fills one matrix with zeros and copies it into another before it begins. Where β = 0
        # only multiplies what is there, which may be NaN, zeros are needed; MKL and a GPU do not read it.
        size = (self.shape[1 if transposed else 0], x.shape[1])
        reads_it = x.is_cpu and not torch.backends.mkl.is_available()
        result = x.new_zeros(size) if reads_it else x.new_empty(size)
        return result.addmm_(self._csr(values, t_values, transposed), x, beta=0)


def _check_size(entries: int, shape: tuple[int, int]) -> None:
    if max(entries, *shape) > np.iinfo(np.int32).max:
        raise ValueError(f"a matrix {shape} with {entries} entries exceeds 32-bit indices")


def _is_bag(x: Tensor) -> bool:
    """Whether a product with x is taken as a weighted sum of rows, whose kernel for float32 fetches rows ahead.

    With 64 columns it takes three quarters of the time of MKL's general sparse product, or less.
    """
    return x.is_cpu and x.dtype == torch.float32


class _Product(torch.autograd.Function):
    """y = A x with dL/dx = Aᵀ dL/dy and dL/dA_ij = <dL/dy_i, x_j> at the stored entries only."""

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        t_values: Tensor,
        x: Tensor,
        matrix: SparseMatrix,
        transposed: bool,
    ) -> Tensor:
        ctx.save_for_backward(values, t_values, *([x] if ctx.needs_input_grad[0] else []))
        ctx.matrix, ctx.transposed = matrix, transposed
        return matrix._product(values, t_values, x, transposed)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        values, t_values, *saved = ctx.saved_tensors
        matrix, transposed = ctx.matrix, ctx.transposed
        grad = grad.contiguous()
        grad_x = matrix._product(values, t_values, grad, not transposed) if ctx.needs_input_grad[2] else None
        grad_values = None
        if saved:
            left, right = (saved[0], grad) if transposed else (grad, saved[0])
            grad_values = sampled_product(matrix, left, right)
        return grad_values, None, grad_x, None, None


def sampled_product(matrix: SparseMatrix, left: Tensor, right: Tensor) -> Tensor:
    """<left_i, right_j> at the stored entries (i, j) of the pattern: `[rows, d]`, `[columns, d]` to `[n]`.

    Differentiable in both; no row is gathered into a copy.
    """
    return _SampledProduct.apply(left, right, matrix)


class _SampledProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor, matrix: SparseMatrix) -> Tensor:
        ctx.save_for_backward(left, right)
        ctx.matrix = matrix
        zeros = left.new_zeros(len(matrix.indices))  # beta = 0 alone would let NaN through
        pattern = matrix._csr(zeros, zeros, False)
        return torch.sparse.sampled_addmm(pattern, left, right.T, beta=0.0).values()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        left, right = ctx.saved_tensors
        grad_left = ctx.matrix.weighted(grad, right) if ctx.needs_input_grad[0] else None
        grad_right = ctx.matrix.weighted(grad, left, transposed=True) if ctx.needs_input_grad[1] else None
        return grad_left, grad_right, None
