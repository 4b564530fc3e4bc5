"""Vectors of users and items that were not in the training data, from tensors that are saved with the run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.errors import InputError
from prismrec.ops import SparseMatrix
from prismrec.types import Embeddings, Interactions


@dataclass(frozen=True)
class HistoryMap:
    """A user vector as a linear function of the history h: offset + |h|^-power Σ_{i ∈ h} P_i.

    Attributes:
        items: P, what each item adds, float32 `[I, d]`.
        offset: the vector of an empty history, float32 `[d]`.
        power: the power of the length of the history by which the sum is divided: 0 a sum, 1 a mean.
    """

    items: Tensor
    offset: Tensor
    power: float

    def __call__(self, histories: Interactions) -> Tensor:
        """The vectors of n users, float32 `[n, d]`.

        Args:
            histories: the items of each user, n users and I items.
        """
        lengths = torch.from_numpy(histories.user_degrees).to(self.items).clamp(min=1)  # [n]
        numbers = torch.from_numpy(histories.items).long()
        offsets = torch.from_numpy(histories.offsets)
        sums = F.embedding_bag(numbers, self.items, offsets, mode="sum", include_last_offset=True)  # [n, d]
        return self.offset + lengths.pow(-self.power).unsqueeze(1) * sums


def fit_history_maps(
    embeddings: Embeddings, train: Interactions, ridges: Sequence[float], *, discount: float, power: float
) -> list[HistoryMap]:
    """Linear maps from the histories of the trained users to their vectors: one ridge regression per penalty.

    A history enters as x = |h|^-power Σ_{i ∈ h} v_i / degree_i^discount, where v are the item vectors.

    Args:
        embeddings: of the trained users and items.
        train: their training interactions.
        ridges: as in `ridge_regressions`.
        discount: how much less an item counts that many users have.
        power: as in `HistoryMap`.
    """
    degrees = torch.from_numpy(train.item_degrees).to(embeddings.items).clamp(min=1)  # [I]
    inputs = embeddings.items * degrees.pow(-discount).unsqueeze(1)  # [I, d]
    lengths = torch.from_numpy(train.user_degrees).to(embeddings.items)  # [U]
    known = lengths > 0
    sums = SparseMatrix(train.csr)(inputs)[known]  # [n, d]
    histories = sums * lengths[known].pow(-power).unsqueeze(1)  # [n, d]
    regressions = ridge_regressions(histories, embeddings.users[known], ridges)
    return [HistoryMap(inputs @ weight, offset, power) for weight, offset in regressions]


def ridge_regressions(inputs: Tensor, outputs: Tensor, ridges: Sequence[float]) -> list[tuple[Tensor, Tensor]]:
    """For each penalty r, the W `[a, b]` and c `[b]` that minimise Σ ‖x W + c - y‖² + r s ‖W‖².

    s is the sum of squares of x about its mean, divided by a, so that a penalty does not depend on the scale of x.

    Args:
        inputs: x `[n, a]`, at least one row.
        outputs: y `[n, b]`.
        ridges: the penalties r, above 0.
    """
    x = inputs.double()
    y = outputs.double()
    x_mean = x.mean(0)
    y_mean = y.mean(0)
    x = x - x_mean
    values, vectors = torch.linalg.eigh(x.T @ x)
    values = values.clamp(min=0)
    products = vectors.T @ (x.T @ (y - y_mean))  # [a, b]
    solutions = []
    for ridge in ridges:
        scale = values + ridge * values.mean()
        inverse = torch.where(scale > 0, scale, torch.inf).reciprocal()  # constant inputs predict nothing
        weight = vectors @ (inverse.unsqueeze(1) * products)  # [a, b]
        solutions.append((weight.to(inputs), (y_mean - x_mean @ weight).to(inputs)))
    return solutions


@dataclass(frozen=True)
class Newcomers:
    """What a run can say of users and items that it was not trained on. No model code runs here.

    Attributes:
        user_map: from a history to a user vector.
    """

    user_map: HistoryMap

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "Newcomers":
        """The inverse of `tensors`.

        Raises:
            KeyError: a tensor is missing.
        """
        power = float(tensors["user_map.power"])
        return cls(HistoryMap(tensors["user_map.items"], tensors["user_map.offset"], power))

    def tensors(self) -> dict[str, Tensor]:
        """Everything as tensors by name, for a file."""
        return {
            "user_map.items": self.user_map.items,
            "user_map.offset": self.user_map.offset,
            "user_map.power": torch.tensor(self.user_map.power),
        }

    @property
    def linear(self) -> bool:
        """Whether a user vector is an offset plus a sum over the items of the history, up to a factor."""
        return True

    def embed_users(self, histories: Interactions) -> Tensor:
        """The vectors of new users, float32 `[n, d]`, to be used with the item vectors of the run.

        A user without a history gets the vector of an empty history, which is the same for all.

        Args:
            histories: n users and the items of the run, by number.

        Raises:
            InputError: the histories have another number of items.
        """
        if histories.num_items != len(self.user_map.items):
            found = f"{histories.num_items} items"
            raise InputError("histories", found, f"the {len(self.user_map.items)} items of the run")
        return self.user_map(histories)
