"""Vectors of users and items that were not in the training data, from tensors that are saved with the run.

`HistoryMap` embeds users, and `ItemMap` embeds items.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.errors import InputError
from prismrec.ops import SparseMatrix
from prismrec.retrieval.item_map import ItemMap
from prismrec.types import Embeddings, Interactions

_ITEM_MAP = "item_map."
"""Prefix of the names of its tensors."""


@dataclass(frozen=True)
class MapSettings:
    """The settings of the ridge regression that makes a `HistoryMap`.

    Attributes:
        discount: a click on an item with n users counts n^-discount.
        power: the sum over a history h is divided by |h|^power.
        ridge: the penalty, as in `ridge_regressions`.
    """

    discount: float
    power: float
    ridge: float


@dataclass(frozen=True)
class HistoryMap:
    """A user vector as a linear function of the history h: offset + |h|^-power Σ_{i ∈ h} P_i.

    P_i = n_i^-discount v_i W for an item with the vector v_i and n_i users.

    Attributes:
        items: P, what each item adds, float32 `[I, d]`.
        weight: W, float32 `[d, d]`.
        offset: the vector of an empty history, float32 `[d]`.
        settings: of the regression.
    """

    items: Tensor
    weight: Tensor
    offset: Tensor
    settings: MapSettings

    def __call__(self, histories: Interactions) -> Tensor:
        """The vectors of n users, float32 `[n, d]`.

        Args:
            histories: the items of each user, n users and I items.
        """
        lengths = torch.from_numpy(histories.user_degrees).to(self.items).clamp(min=1)  # [n]
        numbers = torch.from_numpy(histories.items).long()
        offsets = torch.from_numpy(histories.offsets)
        sums = F.embedding_bag(numbers, self.items, offsets, mode="sum", include_last_offset=True)  # [n, d]
        return self.offset + lengths.pow(-self.settings.power).unsqueeze(1) * sums

    def with_items(self, vectors: Tensor, train: Interactions) -> "HistoryMap":
        """The map of more items, which count as much as an item of the training data does on average.

        Args:
            vectors: of the additional items `[n, d]`.
            train: the training interactions of the I items before them.
        """
        degrees = torch.from_numpy(train.item_degrees).to(vectors)
        known = degrees[degrees > 0]
        share = known.pow(-self.settings.discount).mean() if len(known) else 1.0
        return replace(self, items=torch.cat([self.items, share * vectors @ self.weight]))


def fit_history_maps(
    embeddings: Embeddings, train: Interactions, ridges: Sequence[float], *, discount: float, power: float
) -> list[HistoryMap]:
    """Linear maps from the histories of the trained users to their vectors: one ridge regression per penalty.

    Args:
        embeddings: of the trained users and items.
        train: their training interactions.
        ridges: penalties.
        discount: as in `MapSettings`.
        power: as in `MapSettings`.
    """
    degrees = torch.from_numpy(train.item_degrees).to(embeddings.items).clamp(min=1)  # [I]
    inputs = embeddings.items * degrees.pow(-discount).unsqueeze(1)  # [I, d]
    lengths = torch.from_numpy(train.user_degrees).to(embeddings.items)  # [U]
    known = lengths > 0
    sums = SparseMatrix(train.csr)(inputs)[known]  # [n, d]
    histories = sums * lengths[known].pow(-power).unsqueeze(1)  # [n, d]
    regressions = ridge_regressions(histories, embeddings.users[known], ridges)
    maps = []
    for ridge, (weight, offset) in zip(ridges, regressions, strict=True):
        maps.append(HistoryMap(inputs @ weight, weight, offset, MapSettings(discount, power, ridge)))
    return maps


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
        item_map: from the features of an item to its vector; None without features.
    """

    user_map: HistoryMap
    item_map: ItemMap | None = None

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "Newcomers":
        """The inverse of `tensors`.

        Raises:
            KeyError: a tensor is missing.
        """
        discount, power, ridge = tensors["user_map.settings"].tolist()
        settings = MapSettings(discount, power, ridge)
        user_map = HistoryMap(
            tensors["user_map.items"], tensors["user_map.weight"], tensors["user_map.offset"], settings
        )
        of_items = {name.removeprefix(_ITEM_MAP): part for name, part in tensors.items() if name.startswith(_ITEM_MAP)}
        return cls(user_map, ItemMap.from_tensors(of_items) if of_items else None)

    def tensors(self) -> dict[str, Tensor]:
        """Everything as tensors by name, for a file."""
        user_map = self.user_map
        settings = user_map.settings
        of_items = {} if self.item_map is None else self.item_map.tensors()
        return {
            **{f"{_ITEM_MAP}{name}": part for name, part in of_items.items()},
            "user_map.items": user_map.items,
            "user_map.weight": user_map.weight,
            "user_map.offset": user_map.offset,
            "user_map.settings": torch.tensor([settings.discount, settings.power, settings.ridge]).double(),
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

    def embed_items(self, features: Mapping[str, Tensor]) -> Tensor:
        """The vectors of new items, float32 `[n, d]`, comparable with the item vectors of the run.

        Args:
            features: modality → float32 `[n, F_m]`, as in the training data; a row of NaN for an item that lacks it.

        Raises:
            InputError: the run was trained without features, or these have other modalities or widths.
        """
        if self.item_map is None:
            expected = "a run of a data set with features: without them, nothing says what a new item is like"
            raise InputError("new items", "a run without features", expected)
        return self.item_map(features)
