"""The user-item graph and its normalisations, stored as a matrix `[U, I]` instead of `[U + I, U + I]`."""

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_matrix, diags_array
from torch import Tensor, nn

from prismrec.ops import SparseMatrix
from prismrec.types import Interactions

Normalisation = Literal["sym", "rw", "rw_self", "rw_plus_self", "none"]


class BipartiteGraph(nn.Module):
    """One propagation step over the interactions: users `[U, d]` and items `[I, d]` to the same shapes.

    With R the 0/1 interaction matrix, A = [0 R; Rᵀ 0] and D its degrees (a node without neighbours receives 0):

    - `sym`: D^-½ A D^-½ (LightGCN and most others), symmetric;
    - `rw`: D^-1 A, the mean over neighbours (MMGCN);
    - `rw_self`: (D + 1)^-1 (A + 1), the mean over neighbours and the node itself (NGCF, LATTICE);
    - `rw_plus_self`: D^-1 A + 1, the mean over neighbours plus the node itself (README of NGCF);
    - `none`: A, the sum over neighbours, symmetric.

    `sym` can add a constant t to all degrees, (D + t)^-½ A (D + t)^-½. This damps nodes of few interactions.

    Attributes:
        to_users: what users receive from items, `[U, I]`.
        to_items: the transpose of what items receive from users, `[U, I]`; the same matrix if the graph is symmetric.
        symmetric: whether the operator is its own transpose.
        normalisation: its name.
        has_self_loops: whether a node receives from itself too.
    """

    self_users: Tensor
    self_items: Tensor

    def __init__(self, train: Interactions, normalisation: Normalisation = "sym", *, added_degree: float = 0.0) -> None:
        """Build the matrices.

        Args:
            train: the training interactions.
            normalisation: one of the above.
            added_degree: t, at least 0; only for `sym`.
        """
        super().__init__()
        self.normalisation = normalisation
        self.symmetric = normalisation in ("sym", "none")
        self.has_self_loops = normalisation in ("rw_self", "rw_plus_self")
        counts_itself = normalisation == "rw_self"
        user_degrees = train.user_degrees.astype(np.float64) + counts_itself
        item_degrees = train.item_degrees.astype(np.float64) + counts_itself
        matrix = train.csr.astype(np.float64)
        if normalisation == "sym":
            user_scale = _inverse(user_degrees + added_degree, 0.5)
            item_scale = _inverse(item_degrees + added_degree, 0.5)
            self.to_users = SparseMatrix(_scaled(user_scale, matrix, item_scale))
        elif normalisation == "none":
            self.to_users = SparseMatrix(matrix)
        else:
            self.to_users = SparseMatrix(_scaled(_inverse(user_degrees), matrix, None))
        self.to_items = self.to_users
        if not self.symmetric:
            of_items = torch.from_numpy(_inverse(item_degrees)[train.items])  # [E]
            self.to_items = self.to_users.with_values(of_items.to(torch.get_default_dtype()))
        if counts_itself:
            self._store_self_loops("self_users", _inverse(user_degrees))
            self._store_self_loops("self_items", _inverse(item_degrees))
        elif self.has_self_loops:
            self._store_self_loops("self_users", np.ones(train.num_users))
            self._store_self_loops("self_items", np.ones(train.num_items))

    def _store_self_loops(self, name: str, values: npt.NDArray[np.float64]) -> None:
        weights = torch.from_numpy(values).to(torch.get_default_dtype())
        self.register_buffer(name, weights.unsqueeze(1), persistent=False)  # [n, 1]

    def users_from(self, items: Tensor) -> Tensor:
        """What users receive from items: `[I, d]` to `[U, d]`."""
        return self.to_users(items)

    def items_from(self, users: Tensor) -> Tensor:
        """What items receive from users: `[U, d]` to `[I, d]`."""
        return self.to_items.transposed(users)

    def forward(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """One step for users `[U, d]` and items `[I, d]` at once."""
        new_users = self.users_from(items)
        new_items = self.items_from(users)
        if self.has_self_loops:
            return new_users + self.self_users * users, new_items + self.self_items * items
        return new_users, new_items

    def sum_over_items(self) -> SparseMatrix:
        """R `[U, I]`, sharing the pattern of this graph: each user's sum over its items."""
        return self.to_users.with_values(torch.ones_like(self.to_users.values))

    def mean_over_items(self) -> SparseMatrix:
        """D_U^-1 R `[U, I]`, sharing the pattern of this graph: each user's mean over its items, 0 without items."""
        degrees = self.to_users.offsets.diff().double()
        inverse = degrees.clamp(min=1).reciprocal()  # [U]
        weights = inverse.index_select(0, self.to_users.rows)  # [E]
        return self.to_users.with_values(weights.to(self.to_users.values))

    def subgraph(self, kept: Tensor) -> "BipartiteGraph":
        """The `sym` graph of some of the interactions, normalised by the degrees of the subset.

        Args:
            kept: bool `[E]`, in the order of `Interactions`.

        Raises:
            ValueError: this graph is not a `sym` one.
        """
        if self.normalisation != "sym":
            raise ValueError("subgraph needs a symmetrically normalised graph")
        rows = self.to_users.rows
        columns = self.to_users.indices.long()
        weight = kept.to(self.to_users.values)  # 0 or 1 [E]
        users, items = self.to_users.shape
        user_scale = _inverse_root(weight.new_zeros(users).index_add_(0, rows, weight))  # [U]
        item_scale = _inverse_root(weight.new_zeros(items).index_add_(0, columns, weight))  # [I]
        return self._with_values(weight * user_scale[rows] * item_scale[columns])

    def _with_values(self, values: Tensor) -> "BipartiteGraph":
        """The `sym` graph with the given entries `[E]`, sharing the pattern of this one."""
        graph = BipartiteGraph.__new__(BipartiteGraph)
        nn.Module.__init__(graph)
        graph.normalisation = "sym"
        graph.symmetric = True
        graph.has_self_loops = False
        graph.to_users = self.to_users.with_values(values)
        graph.to_items = graph.to_users
        return graph


def _inverse(degrees: npt.ArrayLike, power: float = 1.0) -> npt.NDArray[np.float64]:
    """degrees ** -power; 0 for a node without neighbours."""
    counts = np.asarray(degrees, dtype=np.float64)
    return np.where(counts > 0, counts, np.inf) ** -power


def _inverse_root(degrees: Tensor) -> Tensor:
    """degrees ** -½ on the device of the degrees; 0 for a node without neighbours."""
    return torch.where(degrees > 0, degrees.clamp(min=1).rsqrt(), 0.0)


def _scaled(left: npt.NDArray[np.float64], matrix: csr_matrix, right: npt.NDArray[np.float64] | None) -> csr_matrix:
    """diag(left) · matrix · diag(right), without the last factor if it is None."""
    scaled = diags_array(left) @ matrix
    return csr_matrix(scaled if right is None else scaled @ diags_array(right))
