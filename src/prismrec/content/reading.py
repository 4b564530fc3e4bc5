"""Reading of one content: its bytes, their hash, and its preparation for the encoder."""

import hashlib
import stat
from collections.abc import Container
from pathlib import Path
from typing import Any, NamedTuple

from prismrec.content.encoder import Encoder, MissingContentError, UnreadableError
from prismrec.content.keys import KEY_BYTES
from prismrec.content.pictures import decode_picture
from prismrec.content.sounds import decode_sound
from prismrec.content.videos import VIDEO_POOLING, decode_video
from prismrec.provenance import ContentKind

LARGEST_FILE = 2**29
"""Bytes of a file; larger ones are not read."""


class Piece(NamedTuple):
    """A text or a file of an item.

    Attributes:
        item: the position of the item.
        content: the text or the path.
        number: of the content among those of the item, from 0.
    """

    item: int
    content: str | Path
    number: int = 0


class Prepared(NamedTuple):
    """A content on its way to the encoder.

    Attributes:
        piece: where it is from.
        key: hash of its content; None if it could not be read.
        value: what `Encoder.prepare` returned, for a video a list; None if the row is in the cache, or with a reason.
        note: what a user may want to know about how it was decoded.
        reason: why it cannot be encoded; None if it can.
    """

    piece: Piece
    key: bytes | None
    value: Any = None
    note: str = ""
    reason: UnreadableError | None = None


def values_of(prepared: Prepared) -> list[Any]:
    """The prepared values of a content: one, or one for each frame of a video."""
    return prepared.value if isinstance(prepared.value, list) else [prepared.value]


def read_piece(piece: Piece, kind: ContentKind, encoder: Encoder, known: Container[bytes]) -> Prepared:
    """Read, decode and prepare a content; one whose key is in `known` is only read. Errors become a reason."""
    try:
        data = _read(piece.content)
        kind_of_row = VIDEO_POOLING.encode() if kind == "video" else b""
        key = hashlib.sha256(kind_of_row + data).digest()[:KEY_BYTES]
        if key in known:
            return Prepared(piece, key)
        if kind == "video":
            frames, note = decode_video(data, encoder.prepare)
            return Prepared(piece, key, frames, note)
        content, note = _decode(piece.content, data, kind)
        return Prepared(piece, key, encoder.prepare(content), note)
    except UnreadableError as error:
        return Prepared(piece, None, reason=error)


def _read(content: str | Path) -> bytes:
    """The bytes of a text or of a regular file.

    Raises:
        MissingContentError: there is no file.
        UnreadableError: not a regular file, too large, or it may not be read.
    """
    if isinstance(content, str):
        return content.encode("utf-8", "surrogatepass")
    try:
        status = content.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError("not a regular file")
        if status.st_size > LARGEST_FILE:
            raise UnreadableError(f"{status.st_size:,} bytes, more than {LARGEST_FILE:,}")
        return content.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise MissingContentError("no such file") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UnreadableError(str(reason)) from None


def _decode(content: str | Path, data: bytes, kind: ContentKind) -> tuple[Any, str]:
    if kind == "text":
        return content, ""
    if kind == "image":
        image, note = decode_picture(data)
        return image, note
    return decode_sound(data)
