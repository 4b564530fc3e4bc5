"""Interactions of any number as whole numbers: rows on disk first, then users and items numbered."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from prismrec.data.ids import number_ids
from prismrec.data.pairs import Pairs
from prismrec.files import scan_stored
from prismrec.types import FloatArray

_KINDS = ("user_id", "item_id")
_ROWS_PER_FILE = 2**21
"""Numbering the ids of a file takes time for all ids of the data set, so files should be few."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """Interactions, each pair once.

    Attributes:
        pairs: sorted by user, then item, with timestamps in milliseconds if the source has them.
        users: the ids of the users, in the order of their numbers.
        items: the ids of the items.
        values: the rating, play count or hours of each pair, float64 `[E]`, NaN where it is missing.
    """

    pairs: Pairs
    users: pl.Series
    items: pl.Series
    values: npt.NDArray[np.float64] | None

    def only(self, kept: Pairs) -> "Encoded":
        """The same with a subset of the pairs; users and items keep their numbers."""
        rows = np.searchsorted(_keys(self.pairs), _keys(kept))
        return replace(self, pairs=kept, values=None if self.values is None else self.values[rows])


def _keys(pairs: Pairs) -> npt.NDArray[np.int64]:
    return pairs.users.astype(np.int64) * pairs.num_items + pairs.items


def store(parts: Iterable[pl.DataFrame], folder: Path) -> int:
    """Write rows to numbered Parquet files in a folder, and return how many rows there are."""
    count = 0
    waiting: list[pl.DataFrame] = []
    for part in parts:
        waiting.append(part)
        if sum(frame.height for frame in waiting) >= _ROWS_PER_FILE:
            count += _store_file(waiting, folder)
            waiting = []
    return count + (_store_file(waiting, folder) if waiting else 0)


def _store_file(frames: list[pl.DataFrame], folder: Path) -> int:
    rows = pl.concat(frames)
    index = len(list(folder.iterdir()))
    rows.write_parquet(folder / f"{index:06}.parquet", compression="lz4", statistics=False)
    return rows.height


def encode(folder: Path) -> Encoded:
    """Number the users and items of stored rows, and keep each pair once: its earliest row, else its first one."""
    files = sorted(folder.glob("*.parquet"))
    ids = {name: _distinct_ids(files, name) for name in _KINDS}
    kinds = {name: pl.Enum(series) for name, series in ids.items()}
    numbered = [_numbered(file, kinds) for file in files]
    users = np.concatenate([part["user_id"].to_numpy() for part in numbered])
    items = np.concatenate([part["item_id"].to_numpy() for part in numbered])
    columns = numbered[0].columns
    times = np.concatenate([part["timestamp"].to_numpy() for part in numbered]) if "timestamp" in columns else None
    values = np.concatenate([part["value"].to_numpy() for part in numbered]) if "value" in columns else None
    del numbered
    pairs = Pairs(users, items, len(ids["user_id"]), len(ids["item_id"]), times)
    first = _first_rows(pairs)
    kept = replace(pairs, users=users[first], items=items[first], timestamps=None if times is None else times[first])
    return Encoded(kept, ids["user_id"], ids["item_id"], None if values is None else values[first])


def _distinct_ids(files: list[Path], column: str) -> pl.Series:
    distinct = scan_stored(files).select(column).unique().collect(engine="streaming")
    return number_ids([distinct[column]])


def _numbered(file: Path, kinds: dict[str, pl.Enum]) -> pl.DataFrame:
    """A stored part with user and item numbers (int32), times (int64, milliseconds) and values (float64)."""
    part = scan_stored([file]).collect()
    columns = [part[name].cast(kind).to_physical().cast(pl.Int32) for name, kind in kinds.items()]
    if "timestamp" in part.columns:
        columns.append(part["timestamp"].dt.timestamp("ms"))
    if "value" in part.columns:
        columns.append(part["value"].cast(pl.Float64).fill_null(float("nan")))
    return pl.DataFrame(columns)


def _first_rows(pairs: Pairs) -> npt.NDArray[np.int64]:
    """The row of each pair with its earliest timestamp, in the order of users and items `[E]`."""
    keys = _keys(pairs)
    order = np.argsort(keys, kind="stable") if pairs.timestamps is None else np.lexsort((pairs.timestamps, keys))
    keys = keys[order]
    is_first = np.ones(len(keys), dtype=np.bool_)
    is_first[1:] = keys[1:] != keys[:-1]
    return order[is_first]


def write_features(path: Path, width: int, blocks: Iterable[tuple[list[str], FloatArray]]) -> int:
    """Write `NAME.npy` and `NAME.ids.txt` in constant memory, and return the number of rows.

    Args:
        path: the npy file.
        width: the number of columns.
        blocks: ids and float32 values `[n, width]`.
    """
    count = 0
    with path.open("wb") as file, path.with_suffix(".ids.txt").open("w", encoding="utf-8") as listing:
        _write_header(file, (10**12, width))  # as long as the header that replaces it
        start = file.tell()
        for ids, values in blocks:
            file.write(np.ascontiguousarray(values, dtype="<f4").tobytes())
            listing.writelines(f"{identifier}\n" for identifier in ids)
            count += len(ids)
        file.seek(0)
        _write_header(file, (count, width))
        if file.tell() != start:
            raise AssertionError("the header of an npy file has another length")
    return count


def _write_header(file: object, shape: tuple[int, int]) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)  # type: ignore[arg-type]
