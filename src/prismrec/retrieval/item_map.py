"""From the features of an item to its vector, for items that were not in the training data."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.errors import InputError

_MOST_COLUMNS = 512
"""Wider features are projected to this width: on the directions in which the items differ most."""
_SMALLEST_DEVIATION = 1e-6


@dataclass(frozen=True)
class FeatureSpace:
    """All modalities of an item as one row x: standardised, scaled to length 1 in each modality, side by side.

    Attributes:
        means: modality → mean of each column `[F_m]`.
        deviations: modality → standard deviation of each column `[F_m]`.
        basis: projects wide features, `[Σ F_m, p]`; None keeps them.
    """

    means: Mapping[str, Tensor]
    deviations: Mapping[str, Tensor]
    basis: Tensor | None = None

    @classmethod
    def of(cls, features: Mapping[str, Tensor]) -> "FeatureSpace":
        """The space of the given items.

        Args:
            features: modality → float32 `[n, F_m]`, at least one item.
        """
        means = {}
        deviations = {}
        for name, rows in features.items():
            deviation, mean = torch.std_mean(rows, 0, correction=0)
            means[name] = mean
            deviations[name] = deviation.clamp(min=_SMALLEST_DEVIATION)
        space = cls(means, deviations)
        rows = space(features)
        return space if rows.shape[1] <= _MOST_COLUMNS else replace(space, basis=_principal_directions(rows))

    @property
    def widths(self) -> dict[str, int]:
        """The number of columns of each modality."""
        return {name: len(mean) for name, mean in self.means.items()}

    def __call__(self, features: Mapping[str, Tensor]) -> Tensor:
        """x of n items, `[n, p]`; rows of NaN in a modality count as its mean.

        Raises:
            InputError: the modalities or their widths are not those of the space, or a number is beyond float32.
        """
        if features.keys() != self.means.keys():
            expected = f"{', '.join(sorted(self.means))}, as in the run"
            raise InputError("modalities", ", ".join(sorted(features)) or "none", expected)
        parts = []
        for name, mean in sorted(self.means.items()):
            rows = features[name].float()
            if rows.ndim != 2 or rows.shape[1] != len(mean):
                raise InputError(f"modality {name!r}", f"shape {list(rows.shape)}", f"[n, {len(mean)}] as in the run")
            if rows.isinf().any():
                expected = f"numbers within ±{torch.finfo(torch.float32).max:.2e}, the range of float32"
                raise InputError(f"modality {name!r}", "a number beyond", expected)
            standardised = torch.nan_to_num((rows - mean) / self.deviations[name])
            parts.append(F.normalize(standardised))
        x = torch.cat(parts, 1)  # [n, Σ F_m]
        return x if self.basis is None else x @ self.basis


def _principal_directions(rows: Tensor) -> Tensor:
    """About the `_MOST_COLUMNS` directions of largest variance, orthonormal, `[F, p]`, by a randomised power method."""
    start = torch.randn(rows.shape[1], _MOST_COLUMNS, generator=torch.Generator().manual_seed(0))
    basis, _ = torch.linalg.qr(rows.T @ (rows @ start))
    basis, _ = torch.linalg.qr(rows.T @ (rows @ basis))
    return basis[:, :_MOST_COLUMNS]


class Predictor(Protocol):
    """From feature rows x `[n, p]` to item vectors `[n, d]`."""

    def __call__(self, x: Tensor) -> Tensor:
        """The vectors of the items."""

    def tensors(self) -> dict[str, Tensor]:
        """Its parts by name."""


@dataclass(frozen=True)
class Linear:
    """x W + c.

    Attributes:
        weight: W `[p, d]`.
        offset: c `[d]`.
    """

    weight: Tensor
    offset: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """The vectors `[n, d]` of rows x `[n, p]`."""
        return x @ self.weight + self.offset

    def tensors(self) -> dict[str, Tensor]:
        """Its parts by name."""
        return {"weight": self.weight, "offset": self.offset}


@dataclass(frozen=True)
class Nearest:
    """The mean vector of the k most similar items of the training data, by cosine.

    Attributes:
        references: x of these items, rows of length 1, `[m, p]`.
        vectors: their vectors `[m, d]`.
        neighbours: k.
    """

    references: Tensor
    vectors: Tensor
    neighbours: int

    def __call__(self, x: Tensor) -> Tensor:
        """The vectors `[n, d]` of rows x `[n, p]`."""
        blocks = []
        for block in x.split(1024):
            nearest = (block @ self.references.T).topk(min(self.neighbours, len(self.references))).indices
            blocks.append(self.vectors[nearest].mean(1))
        return torch.cat(blocks)

    def tensors(self) -> dict[str, Tensor]:
        """Its parts by name."""
        return {
            "references": self.references,
            "vectors": self.vectors,
            "neighbours": torch.tensor(self.neighbours),
        }


@dataclass(frozen=True)
class Average:
    """The mean of the vectors of two predictors, whose errors differ.

    Attributes:
        linear: one of them.
        nearest: the other.
    """

    linear: Linear
    nearest: Nearest

    def __call__(self, x: Tensor) -> Tensor:
        """The vectors `[n, d]` of rows x `[n, p]`."""
        return (self.linear(x) + self.nearest(x)) / 2

    def tensors(self) -> dict[str, Tensor]:
        """The parts of both by name."""
        return self.linear.tensors() | self.nearest.tensors()


@dataclass(frozen=True)
class ItemMap:
    """Vectors of new items, comparable in scale with those of the training data.

    Attributes:
        space: from features to rows x.
        predictor: from rows x to vectors.
        scale: factor that makes new items as visible in the lists as trained ones.
    """

    space: FeatureSpace
    predictor: Predictor
    scale: float = 1.0

    def __call__(self, features: Mapping[str, Tensor]) -> Tensor:
        """The vectors of n items, float32 `[n, d]`.

        Args:
            features: modality → float32 `[n, F_m]`; a row of NaN for an item that lacks the modality.

        Raises:
            InputError: the modalities or their widths are not those of the training data.
        """
        return self.scale * self.predictor(self.space(features))

    def tensors(self) -> dict[str, Tensor]:
        """Everything as tensors by name, for a file."""
        tensors = {f"mean.{name}": mean for name, mean in self.space.means.items()}
        tensors |= {f"deviation.{name}": deviation for name, deviation in self.space.deviations.items()}
        if self.space.basis is not None:
            tensors["basis"] = self.space.basis.contiguous()
        tensors |= {f"predictor.{name}": tensor for name, tensor in self.predictor.tensors().items()}
        return {**tensors, "scale": torch.tensor(self.scale).double()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "ItemMap":
        """The inverse of `tensors`.

        Raises:
            KeyError: a tensor is missing.
        """
        means = _with_prefix(tensors, "mean.")
        deviations = _with_prefix(tensors, "deviation.")
        parts = _with_prefix(tensors, "predictor.")
        predictor = _predictor(parts)
        return cls(FeatureSpace(means, deviations, tensors.get("basis")), predictor, float(tensors["scale"]))


def _predictor(parts: Mapping[str, Tensor]) -> Predictor:
    """The predictor of which these are the parts."""
    linear = Linear(parts["weight"], parts["offset"]) if "weight" in parts else None
    if linear is not None and "references" not in parts:
        return linear
    nearest = Nearest(parts["references"], parts["vectors"], int(parts["neighbours"]))
    return nearest if linear is None else Average(linear, nearest)


def _with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
