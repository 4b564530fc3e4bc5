"""Where the entries of a sparse matrix are."""

from torch import Tensor, nn


class SparsePattern(nn.Module):
    """The positions of n entries, by rows and by columns; a module, so that matrices share it on every device."""

    offsets: Tensor  # row r has the entries offsets[r]:offsets[r + 1], int32 [rows + 1]
    indices: Tensor  # the column of each entry, int32 [n]
    t_offsets: Tensor  # the same for the transposed matrix, int32 [columns + 1]
    t_indices: Tensor  # int32 [n]
    t_order: Tensor  # the row-major position of each entry of the transposed matrix, int32 [n]

    def __init__(self, offsets: Tensor, indices: Tensor, t_offsets: Tensor, t_indices: Tensor, t_order: Tensor) -> None:
        super().__init__()
        self.register_buffer("offsets", offsets.int(), persistent=False)
        self.register_buffer("indices", indices.int(), persistent=False)
        self.register_buffer("t_offsets", t_offsets.int(), persistent=False)
        self.register_buffer("t_indices", t_indices.int(), persistent=False)
        self.register_buffer("t_order", t_order.int(), persistent=False)
