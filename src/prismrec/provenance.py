"""Where features came from: the encoder that made them, and what it needs to encode new items in the same way."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt

from prismrec.types import FloatArray

ContentKind = Literal["text", "image", "audio"]
Normalisation = Literal["none", "rows", "standardise"]
State = Mapping[str, npt.NDArray[Any]]
"""Named arrays: what an encoder learned from the items, and the statistics of `standardise`."""

ENDINGS: dict[ContentKind, tuple[str, ...]] = {
    "text": (),
    "image": (".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".mpo", ".png", ".ppm", ".tif", ".tiff", ".webp"),
    "audio": (".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav"),
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
        for name in _IDENTITY:
            if getattr(self, name) != getattr(other, name):
                return name
        return None


@dataclass(frozen=True, eq=False)
class Encoding:
    """How the features of one modality were made.

    Attributes:
        manifest: what is said about it.
        state: what encoding new items needs beside the encoder itself; empty for a pretrained encoder.
    """

    manifest: FeatureManifest
    state: State = field(default_factory=dict)


def hash_rows(values: FloatArray) -> str:
    """SHA-256 (hex) of features as little-endian float32."""
    return hashlib.sha256(np.ascontiguousarray(values, dtype="<f4").data).hexdigest()
