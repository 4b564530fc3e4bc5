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
    """A user vector as a linear function of the history h: |h|^-power Σ_{i ∈ h} P_i.

    P_i = n_i^-discount v_i W for an item with the vector v_i and n_i users.

    Attributes:
        items: P, what each item adds, float32 `[I, d]`.
        weight: W, float32 `[d, d]`.
        settings: of the regression.
    """

    items: Tensor
    weight: Tensor
    settings: MapSettings

    def __call__(self, histories: Interactions) -> Tensor:
        """The vectors of n users, float32 `[n, d]`; zero for an empty history.

        Args:
            histories: the items of each user, n users and I items.
        """
        lengths = torch.from_numpy(histories.user_degrees).to(self.items).clamp(min=1)  # [n]
        numbers = torch.from_numpy(histories.items).long()
        offsets = torch.from_numpy(histories.offsets)
        sums = F.embedding_bag(numbers, self.items, offsets, mode="sum", include_last_offset=True)  # [n, d]
        return lengths.pow(-self.settings.power).unsqueeze(1) * sums

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
    weights = ridge_regressions(histories, embeddings.users[known], ridges)
    maps = []
    for ridge, weight in zip(ridges, weights, strict=True):
        maps.append(HistoryMap(inputs @ weight, weight, MapSettings(discount, power, ridge)))
    return maps


def ridge_regressions(inputs: Tensor, outputs: Tensor, ridges: Sequence[float]) -> list[Tensor]:
    """For each penalty r, the W `[a, b]` that minimises Σ ‖x W - y‖² + r s ‖W‖².

    s is the mean sum of squares of a column of x, so that a penalty does not depend on the scale of x.

    Args:
        inputs: x `[n, a]`.
        outputs: y `[n, b]`.
        ridges: the penalties r, above 0.
    """
    x = inputs.double()
    values, vectors = torch.linalg.eigh(x.T @ x)
    values = values.clamp(min=0)
    products = vectors.T @ (x.T @ outputs.double())  # [a, b]
    weights = []
    for ridge in ridges:
        scale = values + ridge * values.mean()
        inverse = torch.where(scale > 0, scale, torch.inf).reciprocal()  # inputs of zero predict zero
        weights.append((vectors @ (inverse.unsqueeze(1) * products)).to(inputs))
    return weights


@dataclass(frozen=True)
class Newcomers:
    """The maps that embed users and items that a run was not trained on. No model code runs here.

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
        user_map = HistoryMap(tensors["user_map.items"], tensors["user_map.weight"], settings)
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
            "user_map.settings": torch.tensor([settings.discount, settings.power, settings.ridge]).double(),
        }

    @property
    def linear(self) -> bool:
        """Whether a user vector is a sum over the items of the history, up to a factor that their number decides."""
        return True

    def embed_users(self, histories: Interactions) -> Tensor:
        """The vectors of new users, float32 `[n, d]`, to be used with the item vectors of the run.

        A user without a history gets a vector of zeros.

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
            expected = "a run of a data set with features, and with enough items to learn from"
            raise InputError("new items", "a run without a map from features to item vectors", expected)
        return self.item_map(features)
