"""From contents to cached rows: decoding in threads, encoding in batches, with memory for a few contents only."""

import hashlib
import stat
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from prismrec.content.cache import Cache
from prismrec.content.contents import Contents
from prismrec.content.encoder import Encoder, MissingContentError, UnreadableError
from prismrec.content.pictures import decode_picture
from prismrec.content.sounds import decode_sound
from prismrec.provenance import ContentKind
from prismrec.types import FloatArray

_AHEAD = 4
"""Contents that are decoded ahead of the encoder, for each thread."""
_KEY_BYTES = 16
LARGEST_FILE = 2**29
"""Bytes of a file; larger ones are not read."""


class Piece(NamedTuple):
    """A text or a file of an item.

    Attributes:
        item: the position of the item.
        content: the text or the path.
    """

    item: int
    content: str | Path


class Prepared(NamedTuple):
    """A content on its way to the encoder.

    Attributes:
        piece: where it is from.
        key: hash of its content; None if it could not be read.
        value: what the encoder takes; None if the row is in the cache, or if there is a reason.
        note: what a user may want to know about how it was decoded.
        reason: why it cannot be encoded; None if it can.
    """

    piece: Piece
    key: bytes | None
    value: Any = None
    note: str = ""
    reason: UnreadableError | None = None


class Progress(NamedTuple):
    """How far the encoding is.

    Attributes:
        done: contents that are encoded, cached or unreadable.
        total: all contents.
        encoded: contents that were encoded by this call.
        seconds: since its start.
    """

    done: int
    total: int
    encoded: int
    seconds: float

    @property
    def rate(self) -> float:
        """Contents per second."""
        return self.done / max(self.seconds, 1e-9)

    @property
    def seconds_left(self) -> float:
        """An estimate from the rate so far."""
        return (self.total - self.done) / max(self.rate, 1e-9)


Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Outcome:
    """What became of the pieces.

    Attributes:
        keys: for each item the keys of its rows in the cache.
        problems: item position, content and reason, in the order of the items.
        notes: item position, content and note, in the order of the items.
        encoded: number of contents that were encoded and not taken from the cache.
    """

    keys: Sequence[Sequence[bytes]]
    problems: Sequence[tuple[Piece, UnreadableError]]
    notes: Sequence[tuple[Piece, str]]
    encoded: int


def encode_all(contents: Contents, encoder: Encoder, cache: Cache, workers: int, report: Report | None) -> Outcome:
    """Encode every content that the cache lacks, in the order of the items.

    The batches are a function of the contents that the cache lacks at a multiple of the batch size, so that a job that
    was killed continues with the same batches.
    """
    known = cache.keys()
    pending: dict[bytes, Prepared] = {}
    problems: list[tuple[Piece, UnreadableError]] = []
    read: list[tuple[Piece, bytes]] = []
    meter = _Meter(sum(map(len, contents.pieces)), report)

    def flush() -> None:
        _encode_batch(encoder, list(pending.values()), cache)
        known.update(pending)
        meter.encoded += len(pending)
        pending.clear()

    for prepared in prepare_all(contents, encoder, workers, known):
        meter.step()
        if prepared.key is None:
            problems.append((prepared.piece, prepared.reason or UnreadableError("no content")))
            continue
        read.append((prepared.piece, prepared.key))
        if prepared.key not in known:
            pending[prepared.key] = prepared
        if len(pending) >= encoder.batch_size:
            flush()
    if pending:
        flush()
    meter.finish()
    return _outcome(len(contents.pieces), read, problems, cache, meter.encoded)


def _outcome(
    num_items: int,
    read: list[tuple[Piece, bytes]],
    problems: list[tuple[Piece, UnreadableError]],
    cache: Cache,
    encoded: int,
) -> Outcome:
    used = [key for _, key in read]
    failures = cache.failures(used)
    noted = cache.notes(used)
    keys: list[list[bytes]] = [[] for _ in range(num_items)]
    for piece, key in read:
        if key in failures:
            problems.append((piece, UnreadableError(failures[key])))
        else:
            keys[piece.item].append(key)
    notes = [(piece, noted[key]) for piece, key in read if key in noted]
    return Outcome(keys, sorted(problems, key=lambda each: each[0].item), notes, encoded)


class _Meter:
    """Counts contents and reports them, at most ten times per second."""

    def __init__(self, total: int, report: Report | None) -> None:
        self.encoded = 0
        self._total = total
        self._done = 0
        self._report = report
        self._start = time.monotonic()
        self._reported = 0.0

    def step(self) -> None:
        self._done += 1
        if self._report is not None and time.monotonic() - self._reported > 0.1:
            self._tell()

    def finish(self) -> None:
        if self._report is not None:
            self._tell()

    def _tell(self) -> None:
        assert self._report is not None
        self._reported = time.monotonic()
        self._report(Progress(self._done, self._total, self.encoded, self._reported - self._start))


def _encode_batch(encoder: Encoder, batch: list[Prepared], cache: Cache) -> None:
    """Encode a batch and cache its rows, or why there are none."""
    rows = encoder.encode([each.value for each in batch])
    if rows.shape != (len(batch), encoder.width):
        raise ValueError(f"{encoder.name} returned {rows.shape} for {len(batch)} contents of width {encoder.width}")
    kept: list[FloatArray | None] = []
    notes = []
    for row, each in zip(rows, batch, strict=True):
        found = "" if row.any() and np.isfinite(row).all() else "NaN or infinity" if row.any() else "only zeros"
        kept.append(None if found else row)
        notes.append(f"the encoder {encoder.name} returns {found} for it" if found else each.note)
    cache.add([each.key or b"" for each in batch], kept, notes)


def prepare_all(contents: Contents, encoder: Encoder, workers: int, known: set[bytes]) -> Iterator[Prepared]:
    """Read, decode and prepare all contents in threads, in the order of the items; those in `known` are only read."""
    pieces = (Piece(item, each) for item, parts in enumerate(contents.pieces) for each in parts)
    with warnings.catch_warnings(), ThreadPoolExecutor(max_workers=workers) as pool:
        warnings.simplefilter("ignore")  # libraries warn about damaged files, which are reported here
        yield from _in_order(pool, pieces, lambda piece: _prepare(piece, contents.kind, encoder, known), workers)


def _in_order(
    pool: ThreadPoolExecutor, pieces: Iterable[Piece], prepare: Callable[[Piece], Prepared], workers: int
) -> Iterator[Prepared]:
    """The results in the order of the pieces, a few of them in progress at any time."""
    waiting: deque[Future[Prepared]] = deque()
    try:
        for piece in pieces:
            waiting.append(pool.submit(prepare, piece))
            if len(waiting) > workers * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _prepare(piece: Piece, kind: ContentKind, encoder: Encoder, known: set[bytes]) -> Prepared:
    key: bytes | None = None
    try:
        data = _read(piece.content)
        key = hashlib.sha256(data).digest()[:_KEY_BYTES]
        if key in known:
            return Prepared(piece, key)
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


def rows_of(keys: Sequence[Sequence[bytes]], cache: Cache) -> FloatArray:
    """The mean row of each item `[n, F]`; every item has at least one key."""
    flat = [key for each in keys for key in each]
    counts = np.array([len(each) for each in keys])
    rows = cache.rows(flat)
    if len(flat) == len(keys):
        return rows
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    sums = np.add.reduceat(rows.astype(np.float64), starts, axis=0)  # [n, F]
    means: FloatArray = (sums / counts[:, None]).astype(np.float32)
    return means
