"""Checks that more than one reader needs. Each refuses bad data in one line, with file and place."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from prismrec.errors import InputError
from prismrec.types import FloatArray


def listed(names: Iterable[object], limit: int = 8) -> str:
    """Names as a message shows them: `'a', 'b' and 3 more`. Bytes of file names that are not UTF-8 are escaped."""
    shown = [repr(str(name)).replace("\\udc", "\\x") for name in names]
    if len(shown) > limit:
        return f"{', '.join(shown[:limit])} and {len(shown) - limit} more"
    return ", ".join(shown) or "none"


def unpacked_size(path: Path, size: int, limit: int | None, bound: str = "") -> None:
    """Refuse a file whose content, unpacked, is larger than the memory limit.

    Args:
        path: the file.
        size: bytes of its content.
        limit: the largest size, in bytes. None accepts every size.
        bound: "at least " if the size is not yet known.

    Raises:
        InputError: the content is larger.
    """
    if limit is not None and size > limit:
        raise InputError(
            path,
            f"{bound}{size:,} bytes of content",
            f"at most {limit:,} bytes, the memory limit (raise memory_limit, --memory-limit)",
        )


def only_one(found: Sequence[Path], folder: Path, wanted: str) -> Path:
    """The single file for a purpose.

    Raises:
        InputError: there are several.
    """
    if len(found) > 1:
        raise InputError(
            folder,
            f"{len(found)} files for one purpose: {listed(path.relative_to(folder) for path in found)}",
            f"one {wanted}; remove the others, or name the file of interactions itself as SOURCE",
        )
    return found[0]


def modality_names(wanted: Sequence[str] | None, found: Iterable[str], folder: Path) -> list[str]:
    """The modalities to read: the wanted ones, or all that were found.

    Raises:
        InputError: a wanted modality was not found.
    """
    available = sorted(found)
    if wanted is None:
        return available
    for name in wanted:
        if name not in available:
            raise InputError(folder, f"no modality {name!r}", f"one of: {listed(available)}")
    return list(dict.fromkeys(wanted))


def distinct_ids(ids: pl.Series, where: str | Path, kind: str = "item") -> None:
    """Refuse missing, empty and repeated ids, and ids with a NUL character. The message names the row, from 1."""
    empty = (ids.is_null() | (ids.str.len_bytes() == 0)).fill_null(True)
    if empty.any():
        row = empty.arg_max() or 0
        raise InputError(f"{where}, row {row + 1}", f"an empty {kind} id", f"an id on each of {len(ids):,} rows")
    nul = has_nul(ids)
    if nul.any():
        row = nul.arg_max() or 0
        raise InputError(f"{where}, row {row + 1}", f"{kind} id {ids[row]!r}", "an id without NUL characters")
    repeated = ids.is_duplicated()
    if repeated.any():
        identifier = ids[repeated.arg_max() or 0]
        rows = (ids == identifier).arg_true()
        raise InputError(
            f"{where}, row {rows[1] + 1}",
            f"{kind} id {identifier!r} a second time (first on row {rows[0] + 1})",
            f"each {kind} id once",
        )


def has_nul(ids: pl.Series) -> pl.Series:
    """Which ids contain a NUL character. NumPy's text arrays drop it at the end, so two ids would become one."""
    return ids.str.contains("\0", literal=True)


def feature_rows(path: Path, rows: int, expected: int, of_what: str) -> None:
    """Refuse a feature matrix whose number of rows is not the number of its ids."""
    if rows != expected:
        raise InputError(path, f"{rows:,} rows", f"{expected:,} rows, one for each {of_what}")


def feature_matrix(shape: tuple[int, ...], dtype: np.dtype[Any], path: Path) -> None:
    """Refuse everything but a two-dimensional array of real numbers with at least one row and one column."""
    if dtype.hasobject:
        raise InputError(path, "Python objects (dtype object)", "real numbers; pickled objects are never loaded")
    if dtype.kind not in "fiub":
        raise InputError(path, f"an array of dtype {dtype}", "real numbers, such as float32")
    if len(shape) != 2:
        raise InputError(path, f"an array of shape {shape}", "two dimensions: items × feature width")
    if shape[1] <= 0:
        raise InputError(path, f"features of width 0 (shape {shape})", "at least one column")
    if shape[0] <= 0:
        raise InputError(path, "features without a row", "one row for each item")


def finite(values: FloatArray, path: Path, ids: pl.Series, given: npt.NDArray[Any]) -> None:
    """Refuse NaN, infinity and numbers beyond the range of float32.

    Args:
        values: features, float32 `[n, F]`.
        path: the file.
        ids: the item of each row.
        given: the same features as they were found, in any type.

    Raises:
        InputError: there is such a number.
    """
    # The sum of a row is finite only if all its terms are. It takes memory [n], where isfinite(values) takes [n, F].
    with np.errstate(over="ignore", invalid="ignore"):
        suspects = np.flatnonzero(~np.isfinite(values.sum(axis=1)))
    for row in suspects:
        columns = np.flatnonzero(~np.isfinite(values[row]))
        if len(columns):
            raise InputError(
                f"{path}, row {row} (item {ids[int(row)]!r}), column {columns[0]}",
                str(given[row, columns[0]]),
                f"a number within ±{np.finfo(np.float32).max:.2e}, the range of float32; leave the item's row out to "
                "have it filled",
            )


def plausible_rows(numbers: pl.Series, where: str, kind: str) -> None:
    """Refuse numbers that are ids, not rows: the table of their rows would be almost empty."""
    highest = int(numbers.to_numpy().max())
    distinct = numbers.n_unique()
    if highest > 1_000_000 + 10 * distinct:
        raise InputError(
            where,
            f"{kind} number {highest:,} among {distinct:,} distinct {kind}s",
            "rows counted from 0; for other ids, store the interactions as interactions.csv (the table layout)",
        )
