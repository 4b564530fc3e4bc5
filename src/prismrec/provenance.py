"""How features were made: the encoder, and what it needs to encode new items in the same way."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt

from prismrec.errors import InputError
from prismrec.records import Normalisation
from prismrec.types import FloatArray

ContentKind = Literal["text", "image", "audio", "video"]
State = Mapping[str, npt.NDArray[Any]]
"""Named arrays: what an encoder learned from the items, and the statistics of `standardise`."""

ENDINGS: dict[ContentKind, tuple[str, ...]] = {
    "text": (),
    "image": (".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".mpo", ".png", ".ppm", ".tif", ".tiff", ".webp"),
    "audio": (".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav"),
    "video": (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"),
}
"""Endings of the files of each kind of content."""
_IDENTITY = ("content", "weights", "width", "preprocessing", "separator", "pooling", "normalisation")


class FeatureManifest(BaseModel):
    """How the features of one modality were made. `prismrec features` writes it as `features/NAME.manifest.json`."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    modality: str
    """Name of the modality, NAME."""
    content: ContentKind
    """What was encoded."""
    encoder: str
    """Name of the encoder, with its revision or folder if it has one."""
    version: str
    """Version of the encoder."""
    weights: str
    """SHA-256 of the weights of the encoder, with what it learned from the items."""
    width: PositiveInt
    """Number of columns, F."""
    preprocessing: str
    """What happens to a text, picture or sound before it is encoded."""
    pooling: str = ""
    """How an item with several pictures or sounds gets one row."""
    most_pieces: NonNegativeInt = 1
    """The largest number of pictures or sounds of an item."""
    normalisation: Normalisation
    """`rows` divides each row by its length, `standardise` gives each column mean 0 and variance 1."""
    columns: tuple[str, ...] = ()
    """Columns of the item table that were encoded, or that name files."""
    separator: str = ""
    """Text between two columns."""
    folder: str = ""
    """Folder with files that are named by item id."""
    items: NonNegativeInt
    """Number of items, encoded or not."""
    encoded: NonNegativeInt
    """Number of items with features."""
    missing: NonNegativeInt
    """Number of items without this content."""
    unreadable: NonNegativeInt
    """Number of items whose content cannot be encoded."""
    rows: str
    """SHA-256 of the features, float32 in the order of the file."""
    state: str = ""
    """SHA-256 of the file with what the encoder learned and the statistics of `standardise`; empty without one."""
    prismrec: str
    """Version of prismrec."""

    def difference(self, other: "FeatureManifest") -> str | None:
        """The first property in which two encodings are not comparable, such as `weights`; None if they are."""
        for name in (*_IDENTITY, "columns") if self.content == "text" else _IDENTITY:
            if getattr(self, name) != getattr(other, name):
                return name
        return None


@dataclass(frozen=True, eq=False)
class Encoding:
    """How the features of one modality were made.

    Attributes:
        manifest: its description.
        state: what encoding new items needs beside the encoder itself; empty for a pretrained encoder.
    """

    manifest: FeatureManifest
    state: State = field(default_factory=dict)


def refuse_mixture(
    known: Mapping[str, Encoding], new: Mapping[str, Encoding], modalities: Iterable[str], where: str | Path
) -> None:
    """Refuse features of new items that were made in another way than those of the known items.

    Args:
        known: modality → how the features of the known items were made, as far as that is recorded.
        new: the same of the new items.
        modalities: the modalities to compare.
        where: the source of the new items, for the message.

    Raises:
        InputError: an encoder, its weights or the preprocessing differ, or only one of the two is recorded.
    """
    for name in modalities:
        ours, theirs = known.get(name), new.get(name)
        expected = f"{name} features from the encoder of the run, because features of two encoders cannot be mixed"
        if ours is None and theirs is None:
            continue
        if ours is None or theirs is None:
            of_run, of_items = _made_by(ours), _made_by(theirs)
            raise InputError(where, f"{name} features {of_items} for a run with features {of_run}", expected)
        difference = ours.manifest.difference(theirs.manifest)
        if difference is not None:
            values = [f"{getattr(each.manifest, difference)!r}" for each in (theirs, ours)]
            found = f"{name} features {_made_by(theirs)} with {difference} {values[0][:80]}, not {values[1][:80]}"
            raise InputError(where, found, expected)


def _made_by(encoding: Encoding | None) -> str:
    return "of unknown origin" if encoding is None else f"by {encoding.manifest.encoder}"


def hash_rows(values: FloatArray) -> str:
    """SHA-256 (hex) of features as little-endian float32."""
    return hashlib.sha256(np.ascontiguousarray(values, dtype="<f4").data).hexdigest()
