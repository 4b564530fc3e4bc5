"""The differentiable sparse product: one pattern, stored by rows and by columns with 32-bit indices.

Both orders are stored because the gradient of `A x` is `Aᵀ g`. A product in stored order is about ten times faster than
PyTorch's own sparse gradient, which sorts at every call.
"""

import warnings
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from prismrec.ops import _kernels
from prismrec.ops.sparse_pattern import SparsePattern

_COMPILED_FROM = 1 << 19
"""From this number of entries on, the compiled kernel computes products. It divides the entries evenly among threads;
PyTorch divides the rows. Some users and items have thousands of entries, so the kernel takes two thirds of the time on
two threads. On small matrices with short rows, PyTorch is faster."""


class SparseMatrix(nn.Module):
    """A sparse matrix A `[rows, columns]` with n stored entries; a module, so that it follows `.to()`.

    Attributes:
        values: the stored entries in row-major order, `[n]`.
        t_values: the same entries in column-major order, `[n]`.
        pattern: where the entries are.
        shape: (rows, columns).
    """

    values: Tensor
    t_values: Tensor

    def __init__(self, matrix: csr_matrix) -> None:
        """Copy a SciPy matrix; values get the default floating-point type.

        Raises:
            ValueError: the matrix is too large for 32-bit indices, or it is not a valid matrix.
        """
        super().__init__()
        _check_size(matrix.nnz, matrix.shape)
        rows = matrix.tocsr(copy=True)
        rows.check_format(full_check=True)
        rows.sort_indices()
        positions = np.arange(rows.nnz, dtype=np.int64)
        # Entries carry their row-major positions as values, and the conversion reorders them.
        columns = csr_matrix((positions, rows.indices, rows.indptr), rows.shape).tocsc()
        self.shape: tuple[int, int] = rows.shape
        self.pattern = SparsePattern(
            torch.from_numpy(rows.indptr),
            torch.from_numpy(rows.indices),
            torch.from_numpy(columns.indptr),
            torch.from_numpy(columns.indices),
            torch.from_numpy(columns.data),
        )
        self._set_values(torch.as_tensor(rows.data).to(torch.get_default_dtype()))

    @classmethod
    def from_even_rows(cls, indices: Tensor, values: Tensor, columns: int) -> "SparseMatrix":
        """A matrix with k entries in every row, on the device of the arguments.

        Args:
            indices: the column of each entry, int64 `[rows, k]`. A column that a row lists twice gets two entries,
                which add up in products.
            values: `[rows, k]`.
            columns: number of columns.

        Raises:
            ValueError: the matrix exceeds 32-bit indices, or a column number is out of range. A GPU does not check the
                latter, because the host would wait.
        """
        count, k = indices.shape
        if not indices.is_cpu:
            return cls._from_even_rows_on_gpu(indices, values, columns)
        if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < columns:
            raise ValueError(
                f"column numbers {int(indices.min())}..{int(indices.max())} are not within 0..{columns - 1}"
            )
        entries = values.reshape(-1).numpy()
        offsets = np.arange(count + 1) * k
        return cls(csr_matrix((entries, indices.reshape(-1).numpy(), offsets), shape=(count, columns)))

    @classmethod
    def _from_even_rows_on_gpu(cls, indices: Tensor, values: Tensor, columns: int) -> "SparseMatrix":
        """Sort on the GPU instead of copying to the host."""
        count, k = indices.shape
        _check_size(count * k, (count, columns))
        ascending, order = indices.reshape(-1).sort(stable=True)
        numbers = torch.arange(max(count, columns) + 1, device=indices.device)
        pattern = SparsePattern(
            numbers[: count + 1] * k,
            indices.reshape(-1),
            torch.searchsorted(ascending, numbers[: columns + 1]),
            order.div(k, rounding_mode="floor"),
            order,
        )
        return cls._from_pattern((count, columns), pattern, values.reshape(-1).to(torch.get_default_dtype()))

    @classmethod
    def _from_pattern(cls, shape: tuple[int, int], pattern: SparsePattern, values: Tensor) -> "SparseMatrix":
        matrix = cls.__new__(cls)
        nn.Module.__init__(matrix)
        matrix.shape = shape
        matrix.pattern = pattern
        matrix._set_values(values)
        return matrix

    def _set_values(self, values: Tensor) -> None:
        self.register_buffer("values", values, persistent=False)
        self.register_buffer("t_values", values.index_select(0, self.pattern.t_order), persistent=False)

    def with_values(self, values: Tensor) -> "SparseMatrix":
        """A matrix that shares this pattern, with other constant values `[n]` in row-major order."""
        return self._from_pattern(self.shape, self.pattern, values)

    @property
    def offsets(self) -> Tensor:
        """Row r has the entries `offsets[r]:offsets[r + 1]`, int32 `[rows + 1]`."""
        return self.pattern.offsets

    @property
    def indices(self) -> Tensor:
        """The column of each stored entry, int32 `[n]`."""
        return self.pattern.indices

    @property
    def rows(self) -> Tensor:
        """The row of each stored entry, int64 `[n]`."""
        return torch.repeat_interleave(self.offsets.diff().long(), output_size=len(self.indices))

    def forward(self, x: Tensor) -> Tensor:
        """A x: `[columns, d]` to `[rows, d]`."""
        return _Product.apply(self.values, self.t_values, x, self, False)

    def transposed(self, x: Tensor) -> Tensor:
        """Aᵀ x: `[rows, d]` to `[columns, d]`."""
        return _Product.apply(self.values, self.t_values, x, self, True)

    def weighted(self, values: Tensor, x: Tensor, *, transposed: bool = False) -> Tensor:
        """The product with other values `[n]` in the same pattern; differentiable in the values and in x."""
        return _Product.apply(values, values.index_select(0, self.pattern.t_order), x, self, transposed)

    def add_product(self, base: Tensor, x: Tensor, *, transposed: bool = False, scale: float = 1.0) -> Tensor:
        """scale · (base + A x), or with Aᵀ; `base` has the shape of the product. Not differentiable."""
        if _kernels.usable(base, x, self.values):
            return self.product_of_rows(x, base=base, scale=scale, transposed=transposed)
        if _uses_embedding_bag(x):
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
        positions: Tensor | None = None,
        base: Tensor | None = None,
        scale: float = 1.0,
        transposed: bool = False,
    ) -> Tensor:
        """Some rows of scale · (base + A x), by the compiled kernel, which must be usable; not differentiable.

        Args:
            x: `[columns, d]`, or with `positions` only its nonzero rows.
            rows: int64 `[r]`, the rows to compute; None computes all.
            positions: int32 `[columns]`, the row of x for each column, or -1 for a zero row.
            base: `[rows, d]`; None means zero.
            scale: a factor.
            transposed: use Aᵀ instead of A.
        """
        stored = self._stored(self.values, self.t_values, transposed)
        columns = self.shape[0 if transposed else 1]
        return _kernels.sparse_product(stored, columns, x, rows=rows, positions=positions, base=base, scale=scale)

    def _stored(self, values: Tensor, t_values: Tensor, transposed: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Offsets, indices and values of A or Aᵀ by rows."""
        if transposed:
            return self.pattern.t_offsets, self.pattern.t_indices, t_values
        return self.offsets, self.indices, values

    def _csr(self, values: Tensor, t_values: Tensor, transposed: bool) -> Tensor:
        """A or Aᵀ with these values as a sparse tensor of PyTorch."""
        _silence_beta_warning()
        shape = self.shape[::-1] if transposed else self.shape
        return torch.sparse_csr_tensor(*self._stored(values, t_values, transposed), shape, check_invariants=False)

    def _product(self, values: Tensor, t_values: Tensor, x: Tensor, transposed: bool) -> Tensor:
        """A x or Aᵀ x with these values, without a gradient."""
        if len(values) >= _COMPILED_FROM and _kernels.usable(x, values):
            columns = self.shape[0 if transposed else 1]
            return _kernels.sparse_product(self._stored(values, t_values, transposed), columns, x)
        if _uses_embedding_bag(x):
            offsets, indices, data = self._stored(values, t_values, transposed)
            return F.embedding_bag(indices, x, offsets, mode="sum", per_sample_weights=data, include_last_offset=True)
        # `matrix @ x` would first fill one matrix with zeros and copy it into another. With β = 0, MKL and a GPU do not
        # read the result; other libraries multiply it by 0, so it must not contain NaN.
        size = (self.shape[1 if transposed else 0], x.shape[1])
        reads_result = x.is_cpu and not torch.backends.mkl.is_available()
        result = x.new_zeros(size) if reads_result else x.new_empty(size)
        return result.addmm_(self._csr(values, t_values, transposed), x, beta=0)


@cache
def _silence_beta_warning() -> None:
    """Use up the warning that CSR tensors are in beta, which PyTorch gives once per process.

    This is not done on import: no tensor may exist before `request_large_pages`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor(torch.tensor([0, 0]), torch.tensor([], dtype=torch.int64), torch.tensor([]), (1, 1))


def _check_size(entries: int, shape: tuple[int, int]) -> None:
    if max(entries, *shape) > np.iinfo(np.int32).max:
        raise ValueError(f"a matrix {shape} with {entries} entries exceeds 32-bit indices")


def _uses_embedding_bag(x: Tensor) -> bool:
    """Whether a product with x is computed as an embedding bag, whose float32 kernel prefetches rows.

    With 64 columns it takes at most three quarters of the time of MKL's general sparse product.
    """
    return x.is_cpu and x.dtype == torch.float32


class _Product(torch.autograd.Function):
    """y = A x, with ∂L/∂x = Aᵀ ∂L/∂y, and ∂L/∂A_ij = <∂L/∂y_i, x_j> at the stored entries only."""

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
        values, t_values, *saved = ctx.saved_tensors  # x is saved only if the values need a gradient
        matrix, transposed = ctx.matrix, ctx.transposed
        grad = grad.contiguous()
        grad_x = matrix._product(values, t_values, grad, not transposed) if ctx.needs_input_grad[2] else None
        grad_values = None
        if saved:
            x = saved[0]
            grad_values = sampled_product(matrix, x, grad) if transposed else sampled_product(matrix, grad, x)  # [n]
        return grad_values, None, grad_x, None, None


def sampled_product(matrix: SparseMatrix, left: Tensor, right: Tensor) -> Tensor:
    """<left_i, right_j> at the stored entries (i, j), without copying rows; differentiable in both.

    Args:
        matrix: the pattern; its values are not used.
        left: `[rows, d]`.
        right: `[columns, d]`.

    Returns:
        `[n]`, in row-major order.
    """
    return _SampledProduct.apply(left, right, matrix)


class _SampledProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor, matrix: SparseMatrix) -> Tensor:
        ctx.save_for_backward(left, right)
        ctx.matrix = matrix
        zeros = left.new_zeros(len(matrix.indices))  # with beta = 0, a NaN among the values would survive
        pattern = matrix._csr(zeros, zeros, False)
        return torch.sparse.sampled_addmm(pattern, left, right.T, beta=0.0).values()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        left, right = ctx.saved_tensors
        grad_left = ctx.matrix.weighted(grad, right) if ctx.needs_input_grad[0] else None
        grad_right = ctx.matrix.weighted(grad, left, transposed=True) if ctx.needs_input_grad[1] else None
        return grad_left, grad_right, None
