"""From contents to cached rows: decoding in threads, encoding in batches, with memory for a few contents only."""

import time
import warnings
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from prismrec.content.cache import Cache
from prismrec.content.contents import Contents
from prismrec.content.encoder import Encoder, UnreadableError
from prismrec.content.keys import Key, Keys
from prismrec.content.reading import Piece, Prepared, read_piece, values_of
from prismrec.types import FloatArray

_AHEAD = 4
"""Contents that are decoded ahead of the encoder, for each thread."""


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
        keys: the keys of the rows of each item in the cache.
        problems: item position, content and reason, in the order of the items.
        notes: item position, content and note, in the order of the items.
        encoded: number of contents that were encoded and not taken from the cache.
    """

    keys: Keys
    problems: Sequence[tuple[Piece, UnreadableError]]
    notes: Sequence[tuple[Piece, str]]
    encoded: int


def encode_all(contents: Contents, encoder: Encoder, cache: Cache, workers: int, report: Report | None) -> Outcome:
    """Encode every content that the cache lacks, in the order of the items.

    The batches are a function of the contents that the cache lacks at a multiple of the batch size, so that a job that
    was killed continues with the same batches.
    """
    pending: dict[bytes, Prepared] = {}
    problems: list[tuple[Piece, UnreadableError]] = []
    read = Keys()
    meter = _Meter(sum(map(len, contents.pieces)), report)

    def flush() -> None:
        _encode_batch(encoder, list(pending.values()), cache)
        meter.encoded += len(pending)
        pending.clear()

    for prepared in prepare_all(contents, encoder, workers, cache):
        meter.step()
        if prepared.key is None:
            problems.append((prepared.piece, prepared.reason or UnreadableError("no content")))
            continue
        read.add(Key(prepared.piece.item, prepared.piece.number, prepared.key))
        if prepared.value is not None and prepared.key not in pending and prepared.key not in cache:
            pending[prepared.key] = prepared
        if len(pending) >= encoder.batch_size:
            flush()
    if pending:
        flush()
    meter.finish()
    return _outcome(contents, read, problems, cache, meter.encoded)


def _outcome(
    contents: Contents, read: Keys, problems: list[tuple[Piece, UnreadableError]], cache: Cache, encoded: int
) -> Outcome:
    keys = Keys()
    notes: list[tuple[Piece, str]] = []

    def piece_of(each: Key) -> Piece:
        return Piece(each.item, contents.pieces[each.item][each.number], each.number)

    for block in read.blocks():
        used = [each.key for each in block]
        failures = cache.failures(used)
        noted = cache.notes(used)
        for each in block:
            if each.key in failures:
                problems.append((piece_of(each), UnreadableError(failures[each.key])))
                continue
            keys.add(each)
            if each.key in noted:
                notes.append((piece_of(each), noted[each.key]))
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
    rows = _mean_rows(encoder, [values_of(each) for each in batch])
    if rows.shape != (len(batch), encoder.width):
        raise ValueError(f"{encoder.name} returned {rows.shape} for {len(batch)} contents of width {encoder.width}")
    kept: list[FloatArray | None] = []
    notes = []
    for row, each in zip(rows, batch, strict=True):
        found = "" if row.any() and np.isfinite(row).all() else "NaN or infinity" if row.any() else "only zeros"
        kept.append(None if found else row)
        notes.append(f"the encoder {encoder.name} returns {found} for it" if found else each.note)
    cache.add([each.key or b"" for each in batch], kept, notes)


def _mean_rows(encoder: Encoder, contents: list[list[Any]]) -> FloatArray:
    """A row for each content: the mean of the rows of its values."""
    flat = [value for values in contents for value in values]
    size = encoder.batch_size
    rows = np.concatenate([encoder.encode(flat[start : start + size]) for start in range(0, len(flat), size)])
    return mean_of_groups(rows, [len(values) for values in contents])


def prepare_all(contents: Contents, encoder: Encoder, workers: int, known: Container[bytes]) -> Iterator[Prepared]:
    """Read, decode and prepare all contents in threads, in the order of the items; those in `known` are only read."""
    numbered = ((item, enumerate(parts)) for item, parts in enumerate(contents.pieces))
    pieces = (Piece(item, each, number) for item, parts in numbered for number, each in parts)
    with warnings.catch_warnings(), ThreadPoolExecutor(max_workers=workers) as pool:
        warnings.simplefilter("ignore")  # libraries warn about damaged files, which are reported here
        yield from _in_order(pool, pieces, lambda piece: read_piece(piece, contents.kind, encoder, known), workers)


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


def rows_of(keys: Sequence[Sequence[bytes]], cache: Cache) -> FloatArray:
    """The mean row of each item `[n, F]`; every item has at least one key."""
    flat = [key for each in keys for key in each]
    return mean_of_groups(cache.rows(flat), [len(each) for each in keys])


def mean_of_groups(rows: FloatArray, sizes: Sequence[int]) -> FloatArray:
    """The means of consecutive rows, of which each group has one or more, float32."""
    if len(rows) == len(sizes):
        return rows
    counts = np.array(sizes)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    sums = np.add.reduceat(rows.astype(np.float64), starts, axis=0)  # [n, F]
    means: FloatArray = (sums / counts[:, None]).astype(np.float32)
    return means
