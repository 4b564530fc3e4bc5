"""The files of encoded features: rows with ids, manifest, report, and what a fitted encoder has learned."""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from safetensors import safe_open
from safetensors.numpy import save_file

from prismrec.content.cache import Cache
from prismrec.content.contents import Contents
from prismrec.content.encoder import MissingContentError
from prismrec.content.keys import Keys
from prismrec.content.pipeline import Outcome, rows_of
from prismrec.content.reading import Piece
from prismrec.data.normalise import column_statistics, divide_by_length
from prismrec.data.readers.boundary import foreign_errors, printable
from prismrec.data.readers.features import feature_files
from prismrec.errors import InputError
from prismrec.files import replacing, write_text
from prismrec.provenance import State
from prismrec.types import FloatArray

FileFormat = Literal["safetensors", "parquet"]
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class FeatureFiles:
    """The paths of the files of one modality in a folder `features`."""

    folder: Path
    name: str

    @property
    def manifest(self) -> Path:
        """How the features were made."""
        return self.folder / f"{self.name}.manifest.json"

    @property
    def report(self) -> Path:
        """Items without features, and notes on others."""
        return self.folder / f"{self.name}.report.csv"

    @property
    def state(self) -> Path:
        """What a fitted encoder has learned, and statistics of the columns."""
        return self.folder / "encoders" / f"{self.name}.safetensors"

    @property
    def lock(self) -> Path:
        """Held by the process that writes the files."""
        return self.folder / f".{self.name}.lock"

    def rows(self, file_format: FileFormat) -> Path:
        """The features."""
        return self.folder / f"{self.name}.{file_format}"


class Rows:
    """The rows of the items that have any, from the cache, in blocks, with a normalisation."""

    def __init__(self, keys: Keys, num_items: int, cache: Cache) -> None:
        self._keys = keys
        self._cache = cache
        self._count = int((keys.counts(num_items) > 0).sum())
        self._shift: FloatArray | None = None
        self._scale: FloatArray | None = None
        self._unit = False

    def __len__(self) -> int:
        return self._count

    def blocks(self) -> Iterator[FloatArray]:
        """The rows, a few thousand at once, float32 `[n, F]`."""
        groups = self._keys.groups()
        while some := list(islice(groups, _ROWS_AT_ONCE)):
            block = rows_of(some, self._cache)
            if self._shift is not None and self._scale is not None:
                block = (block - self._shift) * self._scale
            if self._unit:
                block = divide_by_length(block)
            yield block

    def divide_by_length(self) -> None:
        """Give each row length 1."""
        self._unit = True

    def standardise(self, state: State) -> None:
        """Shift and scale each column as a state says."""
        self._shift = state["shift"].astype(np.float32)
        self._scale = state["scale"].astype(np.float32)

    def statistics(self) -> State:
        """The shift and the scale that give each column mean 0 and variance 1; constant columns become 0."""
        shift, scale = column_statistics(self.blocks)
        return {"shift": shift, "scale": scale}


def write_rows(path: Path, ids: pl.Series, rows: Rows, width: int, file_format: FileFormat) -> str:
    """Write features with their ids, and return their SHA-256.

    Raises:
        InputError: the file cannot be written.
    """
    write = _write_safetensors if file_format == "safetensors" else _write_parquet
    digest = hashlib.sha256()

    def hashed() -> Iterator[FloatArray]:
        for block in rows.blocks():
            little = np.ascontiguousarray(block, dtype="<f4")
            digest.update(little.data)
            yield little

    with replacing(path) as temporary:
        write(temporary, ids, hashed(), width)
    return digest.hexdigest()


def _write_safetensors(path: Path, ids: pl.Series, blocks: Iterable[FloatArray], width: int) -> None:
    """Write block by block; the library would need all rows in memory."""
    size = 4 * len(ids) * width
    length = sum(map(len, _json_of(ids)))
    header = json.dumps(
        {
            "features": {"dtype": "F32", "shape": [len(ids), width], "data_offsets": [0, size]},
            "ids": {"dtype": "U8", "shape": [length], "data_offsets": [size, size + length]},
        }
    ).encode()
    header += b" " * (-len(header) % 8)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        for block in blocks:
            file.write(block.data)
        for part in _json_of(ids):
            file.write(part)


def _json_of(ids: pl.Series) -> Iterator[bytes]:
    """A list of ids as JSON, in parts."""
    yield b"["
    for start in range(0, len(ids), _ROWS_AT_ONCE):
        part = json.dumps(ids[start : start + _ROWS_AT_ONCE].to_list(), ensure_ascii=False)[1:-1]
        yield f"{', ' if start else ''}{part}".encode()
    yield b"]"


def _write_parquet(path: Path, ids: pl.Series, blocks: Iterable[FloatArray], width: int) -> None:
    values = pl.Series("features", np.concatenate(list(blocks)), dtype=pl.Array(pl.Float32, width))
    pl.DataFrame([ids.alias("item_id"), values]).write_parquet(path)


def write_report(path: Path, contents: Contents, outcome: Outcome, folder: Path) -> None:
    """Write a table of the items without features and of the notes: item_id, content, status, reason.

    Raises:
        InputError: the file cannot be written.
    """
    rows: list[tuple[int, str, str, str]] = []
    for item, pieces in enumerate(contents.pieces):
        if not pieces:
            rows.append((item, "", "missing", f"no {contents.kind}"))
    for piece, reason in outcome.problems:
        status = "missing" if isinstance(reason, MissingContentError) else "unreadable"
        rows.append((piece.item, _named(piece, folder), status, str(reason)))
    rows += [(piece.item, _named(piece, folder), "note", note) for piece, note in outcome.notes]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["item_id", "content", "status", "reason"])
    for item, content, status, reason_text in sorted(rows, key=lambda row: row[0]):
        table.writerow([contents.ids[item], content, status, printable(reason_text)])
    write_text(path, text.getvalue())


def _named(piece: Piece, folder: Path) -> str:
    if isinstance(piece.content, str):
        return piece.content[:60]
    path = piece.content
    return printable(str(path.relative_to(folder) if path.is_relative_to(folder) else path))


def write_state(path: Path, state: State, encoder: str) -> str:
    """Write what an encoder has learned, with the text that describes the encoder, and return the SHA-256 of the file.

    Raises:
        InputError: the file cannot be written.
    """
    with replacing(path) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in state.items()}, temporary, {"encoder": encoder})
        return hashlib.sha256(temporary.read_bytes()).hexdigest()


def read_state(path: Path, encoder: str) -> State | None:
    """The state in a file if it is of this encoder; None if there is no file, or another encoder wrote it.

    Raises:
        InputError: the file is damaged.
    """
    if not path.exists():
        return None
    expected = "what an encoder has learned; delete it to learn it again"
    with foreign_errors(path, expected), safe_open(path, framework="numpy") as file:
        if (file.metadata() or {}).get("encoder") != encoder:
            return None
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping


def refuse_other_files(files: FeatureFiles) -> list[Path]:
    """The feature files of this name that an earlier call wrote.

    Raises:
        InputError: a file of this name that `prismrec features` did not write.
    """
    found = feature_files(files.folder, files.name)
    if found and not files.manifest.exists():
        expected = f"no features {files.name!r} but its own; remove the file, or choose another name (--name)"
        raise InputError(found[0], "features that `prismrec features` did not write", expected)
    return found
