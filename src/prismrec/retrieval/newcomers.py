"""Vectors of users and items that were not in the training data, from tensors that are saved with the run.

`HistoryMap` embeds users, and `ItemMap` embeds items.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace

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
        fits_clicks: whether the map fits the clicks of a user (`fit_click_maps`) instead of the trained vector.
    """

    discount: float
    power: float
    ridge: float
    fits_clicks: bool = False


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
    items = _discounted(embeddings, train, discount)  # [I, d]
    histories, vectors = _histories(items, embeddings, train, power)  # [n, d]
    maps = []
    for ridge, weight in zip(ridges, ridge_regressions(histories, vectors, ridges), strict=True):
        maps.append(HistoryMap(items @ weight, weight, MapSettings(discount, power, ridge)))
    return maps


def fit_click_maps(
    embeddings: Embeddings, train: Interactions, ridges: Sequence[float], *, discount: float, power: float
) -> list[HistoryMap]:
    """Linear maps whose vectors score high what the user clicked, as matrix factorisation folds in users.

    With x_i = n_i^-discount for the items of the history and 0 for the others, the vector is that of the ridge
    regression of x on the item vectors, u = (VᵀV + r s)^-1 Vᵀ x, for each penalty r; s is as in `ridge_regressions`.
    The vectors of all users are scaled by one factor, so that their mean square length is that of the trained ones.

    Args:
        embeddings: of the trained users and items.
        train: their training interactions.
        ridges: penalties.
        discount: as in `MapSettings`.
        power: as in `MapSettings`.
    """
    items = _discounted(embeddings, train, discount)  # [I, d]
    histories, vectors = _histories(items, embeddings, train, power)  # [n, d]
    known = embeddings.items[torch.from_numpy(train.item_degrees > 0)].double()
    maps = []
    for ridge, inverse in zip(ridges, _solve(known.T @ known, torch.eye(known.shape[1]).double(), ridges), strict=True):
        length = (histories.double() @ inverse).norm().clamp(min=torch.finfo(torch.float64).tiny)
        weight = (vectors.double().norm() / length * inverse).to(items)
        maps.append(HistoryMap(items @ weight, weight, MapSettings(discount, power, ridge, fits_clicks=True)))
    return maps


def _discounted(embeddings: Embeddings, train: Interactions, discount: float) -> Tensor:
    """The item vectors, divided by a power of the number of users `[I, d]`."""
    degrees = torch.from_numpy(train.item_degrees).to(embeddings.items).clamp(min=1)  # [I]
    return embeddings.items * degrees.pow(-discount).unsqueeze(1)


def _histories(items: Tensor, embeddings: Embeddings, train: Interactions, power: float) -> tuple[Tensor, Tensor]:
    """The inputs of a map for the users with training items, and their trained vectors; `[n, d]` each."""
    lengths = torch.from_numpy(train.user_degrees).to(items)  # [U]
    known = lengths > 0
    sums = SparseMatrix(train.csr)(items)[known]  # [n, d]
    return sums * lengths[known].pow(-power).unsqueeze(1), embeddings.users[known]


def ridge_regressions(inputs: Tensor, outputs: Tensor, ridges: Sequence[float]) -> list[Tensor]:
    """For each penalty r, the W `[a, b]` that minimises Σ ‖x W - y‖² + r s ‖W‖².

    s is the mean sum of squares of a column of x, so that a penalty does not depend on the scale of x.

    Args:
        inputs: x `[n, a]`.
        outputs: y `[n, b]`.
        ridges: the penalties r, above 0.
    """
    x = inputs.double()
    return [weight.to(inputs) for weight in _solve(x.T @ x, x.T @ outputs.double(), ridges)]


def _solve(gram: Tensor, right: Tensor, ridges: Sequence[float]) -> list[Tensor]:
    """(A + r s I)^-1 B for each penalty r, where A `[a, a]` has the mean eigenvalue s, and B is `[a, b]`."""
    values, vectors = torch.linalg.eigh(gram)
    values = values.clamp(min=0)
    products = vectors.T @ right  # [a, b]
    solutions = []
    for ridge in ridges:
        scale = values + ridge * values.mean()
        inverse = torch.where(scale > 0, scale, torch.inf).reciprocal()  # inputs of zero predict zero
        solutions.append(vectors @ (inverse.unsqueeze(1) * products))
    return solutions


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
        discount, power, ridge, *fits_clicks = tensors["user_map.settings"].tolist()
        settings = MapSettings(discount, power, ridge, any(fits_clicks))  # earlier runs have three numbers
        user_map = HistoryMap(tensors["user_map.items"], tensors["user_map.weight"], settings)
        of_items = {name.removeprefix(_ITEM_MAP): part for name, part in tensors.items() if name.startswith(_ITEM_MAP)}
        return cls(user_map, ItemMap.from_tensors(of_items) if of_items else None)

    def tensors(self) -> dict[str, Tensor]:
        """Everything as tensors by name, for a file."""
        user_map = self.user_map
        of_items = {} if self.item_map is None else self.item_map.tensors()
        return {
            **{f"{_ITEM_MAP}{name}": part for name, part in of_items.items()},
            "user_map.items": user_map.items,
            "user_map.weight": user_map.weight,
            "user_map.settings": torch.tensor(astuple(user_map.settings), dtype=torch.float64),
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
