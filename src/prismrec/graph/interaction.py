"""The user-item graph and its normalisations, kept as two rectangular halves instead of a square of U + I."""

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_matrix, diags_array
from torch import Tensor, nn

from prismrec.graph.sparse import SparseMatrix
from prismrec.types import Interactions

Normalisation = Literal["sym", "rw", "rw_self", "none"]


class BipartiteGraph(nn.Module):
    """One propagation step over the interactions: (users `[U, d]`, items `[I, d]`) to the same shapes.

    With R the 0/1 interaction matrix, A = [0 R; Rᵀ 0], D the degrees (a node without any
    receives 0):

    - `sym`: D^-½ A D^-½ (LightGCN and most others); its own transpose;
    - `rw`: D^-1 A, the mean over neighbours (MMGCN);
    - `rw_self`: (D + 1)^-1 (A + 1), the mean over neighbours and oneself (NGCF, LATTICE);
    - `none`: A, the sum over neighbours.
    """

    self_users: Tensor
    self_items: Tensor

    def __init__(self, train: Interactions, normalisation: Normalisation = "sym") -> None:
        super().__init__()
        self.normalisation = normalisation
        self.symmetric = normalisation in ("sym", "none")
        self.has_self_loops = normalisation == "rw_self"
        user_degrees = train.user_degrees + float(self.has_self_loops)
        item_degrees = train.item_degrees + float(self.has_self_loops)
        matrix = train.csr.astype(np.float64)
        if normalisation == "sym":
            self.to_users = SparseMatrix(_scaled(_inverse(user_degrees, 0.5), matrix, _inverse(item_degrees, 0.5)))
        elif normalisation == "none":
            self.to_users = SparseMatrix(matrix)
        else:
            self.to_users = SparseMatrix(_scaled(_inverse(user_degrees), matrix, None))
            self.to_items = SparseMatrix(_scaled(None, matrix, _inverse(item_degrees)))
        if self.has_self_loops:
            for name, degrees in (("self_users", user_degrees), ("self_items", item_degrees)):
                weights = torch.as_tensor(_inverse(degrees)).to(torch.get_default_dtype())
                self.register_buffer(name, weights.unsqueeze(1), persistent=False)

    def users_from(self, items: Tensor) -> Tensor:
        """What users receive from items: `[I, d]` to `[U, d]`."""
        return self.to_users(items)

    def items_from(self, users: Tensor) -> Tensor:
        """What items receive from users: `[U, d]` to `[I, d]`."""
        return (self.to_users if self.symmetric else self.to_items).transposed(users)

    def forward(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """One step of both sides at once."""
        new_users, new_items = self.users_from(items), self.items_from(users)
        if self.has_self_loops:
            return new_users + self.self_users * users, new_items + self.self_items * items
        return new_users, new_items

    def thinned(self, kept: Tensor) -> "BipartiteGraph":
        """The `sym` graph of a subset of the interactions, normalised by the subset's own degrees.

        Args:
            kept: bool `[E]`, in the order of `Interactions`.

        Raises:
            ValueError: this graph is not a symmetrically normalised one.
        """
        if self.normalisation != "sym":
            raise ValueError("only a symmetrically normalised graph can be thinned")
        rows, columns, weight = (
            self.to_users.rows,
            self.to_users.indices.long(),
            kept.to(self.to_users.values),
        )
        users, items = self.to_users.shape
        user_scale = _inverse_root(weight.new_zeros(users).index_add_(0, rows, weight))
        item_scale = _inverse_root(weight.new_zeros(items).index_add_(0, columns, weight))
        return self._with_values(weight * user_scale[rows] * item_scale[columns])

    def _with_values(self, values: Tensor) -> "BipartiteGraph":
        twin = BipartiteGraph.__new__(BipartiteGraph)
        nn.Module.__init__(twin)
        twin.normalisation, twin.symmetric, twin.has_self_loops = "sym", True, False
        twin.to_users = self.to_users.with_values(values)
        return twin


def mean_over_items(train: Interactions) -> SparseMatrix:
    """D_U^-1 R `[U, I]`: the mean over a user's items; a user without items gets 0."""
    return SparseMatrix(_scaled(_inverse(train.user_degrees), train.csr.astype(np.float64), None))


def _inverse(degrees: npt.ArrayLike, power: float = 1.0) -> npt.NDArray[np.float64]:
    counts = np.asarray(degrees, dtype=np.float64)
    return np.where(counts > 0, np.maximum(counts, 1.0) ** -power, 0.0)


def _inverse_root(degrees: Tensor) -> Tensor:
    return torch.where(degrees > 0, degrees.clamp(min=1).rsqrt(), 0.0)


def _scaled(
    left: npt.NDArray[np.float64] | None, matrix: csr_matrix, right: npt.NDArray[np.float64] | None
) -> csr_matrix:
    scaled = matrix if left is None else diags_array(left) @ matrix
    return csr_matrix(scaled if right is None else scaled @ diags_array(right))
