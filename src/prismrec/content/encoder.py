"""The interface of encoders, which turn texts, pictures or sounds into rows of numbers."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from prismrec.provenance import ContentKind, State
from prismrec.types import FloatArray


class Sound(NamedTuple):
    """A decoded sound: one channel, float32 `[n]` between -1 and 1, and its samples per second."""

    samples: npt.NDArray[np.float32]
    rate: int


class Encoder(ABC):
    """Turns contents of one kind into features.

    A content is a `str`, a `PIL.Image.Image` in mode RGB, or a `Sound`. Other packages add encoders by the entry point
    group `prismrec.encoders`.

    Attributes:
        name: what users call it.
        modality: the kind of content: "text", "image" or "audio".
        width: number of columns, F.
        version: of the package or the weights.
        weights: SHA-256 of the weights. Rows of encoders with different weights are never mixed.
        preprocessing: what `prepare` and `encode` do to a content, in words. A change of it makes another encoder.
        batch_size: number of contents that `encode` should get at once.
        takes_device: whether the class is created with the name of a device ("auto", "cpu", "cuda") or without one.
    """

    name: str
    modality: ContentKind
    width: int
    version: str
    weights: str
    preprocessing: str = ""
    batch_size: int = 32
    takes_device: ClassVar[bool] = False

    def prepare(self, content: Any) -> Any:
        """Prepare a content for `encode`. Threads call this method in parallel, so slow decoding belongs here.

        Raises:
            UnreadableError: the content cannot be encoded.
        """
        return content

    @abstractmethod
    def encode(self, batch: Sequence[Any]) -> FloatArray:
        """The features of n prepared contents, float32 `[n, F]`."""


class FittedEncoder(Encoder):
    """An encoder that learns from the contents of the items before it encodes them.

    `width` and `weights` are known when it is fitted or has a state.
    """

    @abstractmethod
    def fit(self, prepared: Iterable[Any]) -> None:
        """Learn from prepared contents."""

    @abstractmethod
    def state(self) -> State:
        """What it has learned, as named arrays of numbers."""

    @abstractmethod
    def load(self, state: State) -> None:
        """Take a state instead of fitting."""


def encode_contents(encoder: Encoder, contents: Sequence[Any]) -> FloatArray:
    """The features of n contents in memory, float32 `[n, F]`. An encoder that is not fitted is fitted on them.

    Raises:
        UnreadableError: a content cannot be encoded.
        InputError: the encoder cannot be fitted on these contents.
    """
    prepared = [encoder.prepare(content) for content in contents]
    if isinstance(encoder, FittedEncoder) and not hasattr(encoder, "width"):
        encoder.fit(prepared)
    size = encoder.batch_size
    batches = [encoder.encode(prepared[start : start + size]) for start in range(0, len(prepared), size)]
    return np.concatenate(batches) if batches else np.zeros((0, encoder.width), dtype=np.float32)


class UnreadableError(Exception):
    """A content that cannot be decoded or encoded. The message is the reason, for the report."""


class MissingContentError(UnreadableError):
    """An item without this content."""
