"""Encoded rows by the hash of their content, so that no content is encoded twice."""

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from prismrec.errors import InputError
from prismrec.types import FloatArray

_KEYS_AT_ONCE = 500
"""SQLite takes at most 999 parameters in a statement of old versions."""
_SECONDS_TO_WAIT = 60.0
"""For another process that writes to the same cache."""


class Cache:
    """The rows of one encoder on disk: key → row and note. Each `add` is written as a whole or not at all.

    Several threads may use it.
    """

    def __init__(self, path: Path, width: int) -> None:
        """Open the cache, or create it.

        Args:
            path: the file, in a folder that exists.
            width: number of columns of a row.

        Raises:
            InputError: the file is damaged or cannot be written.
        """
        self._path = path
        self._width = width
        self._lock = threading.Lock()
        with self._errors():
            self._database = sqlite3.connect(path, timeout=_SECONDS_TO_WAIT, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS rows (key BLOB PRIMARY KEY, row BLOB NOT NULL, note TEXT NOT NULL)"
            )

    def __enter__(self) -> "Cache":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def __contains__(self, key: object) -> bool:
        """Whether a content with this key was encoded, or gave no features."""
        with self._lock, self._errors():
            found = self._database.execute("SELECT 1 FROM rows WHERE key = ?", (key,)).fetchone()
        return found is not None

    def add(self, keys: Sequence[bytes], rows: Sequence[FloatArray | None], notes: Sequence[str]) -> None:
        """Write the rows of a batch in one transaction.

        Args:
            keys: of n contents.
            rows: float32 `[F]` each; None for a content for which the encoder gives no features.
            notes: a note on each; where the row is None, the reason.
        """
        values = [b"" if row is None else row.astype("<f4").tobytes() for row in rows]
        entries = list(zip(keys, values, notes, strict=True))
        with self._lock, self._errors(), self._database:
            self._database.executemany("INSERT OR IGNORE INTO rows VALUES (?, ?, ?)", entries)

    def rows(self, keys: Sequence[bytes]) -> FloatArray:
        """The rows of n keys, float32 `[n, F]`."""
        distinct = list(dict.fromkeys(keys))
        found = {key: row for key, row, _ in self._select("row, ''", distinct)}
        joined = b"".join([found[key] for key in keys])
        return np.frombuffer(joined, dtype="<f4").reshape(len(keys), self._width).astype(np.float32)

    def notes(self, keys: Sequence[bytes]) -> dict[bytes, str]:
        """The notes of those keys that have a row and a note."""
        found = self._select("length(row), note", list(dict.fromkeys(keys)))
        return {key: note for key, length, note in found if length and note}

    def failures(self, keys: Sequence[bytes]) -> dict[bytes, str]:
        """The reasons of those keys that have no row."""
        found = self._select("length(row), note", list(dict.fromkeys(keys)))
        return {key: note for key, length, note in found if not length}

    def _select(self, columns: str, keys: list[bytes]) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = keys[start : start + _KEYS_AT_ONCE]
            marks = ", ".join("?" * len(some))
            statement = f"SELECT key, {columns} FROM rows WHERE key IN ({marks})"  # our own words
            with self._lock, self._errors():
                found += self._database.execute(statement, some)
        return found

    def _errors(self) -> "_CacheErrors":
        return _CacheErrors(self._path)


class _CacheErrors:
    """Turns errors of SQLite into an `InputError`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, sqlite3.Error):
            raise InputError(self._path, str(error), "a cache that can be written; it may be deleted") from error
