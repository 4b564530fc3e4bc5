"""Feature files that are tables: Parquet, and RecBole's columns of type `float_seq`."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from prismrec.data import check
from prismrec.data.readers.columns import id_column, plain_name
from prismrec.data.readers.npy import checked
from prismrec.data.readers.raw import RawFeatures, ReadOptions
from prismrec.data.readers.tabular import Table, read_table
from prismrec.errors import InputError

_ID_NAMES = ("itemid", "item", "id", "iid", "asin", "parentasin", "movieid")
_WAY_OUT = "numbered columns such as f0, f1, … or one column of lists beside the ids; leave others out with"
_PANDAS_INDEX = re.compile(r"__index_level_\d+__|Unnamed: \d+(\.\d+)?")


def read_feature_table(path: Path, options: ReadOptions, _items: Table | None) -> RawFeatures:
    """Features from a Parquet file, as `features_of` finds them.

    Raises:
        InputError: no valid file, or a table that `features_of` refuses.
    """
    return features_of(read_table(path, options), options)


def features_of(table: Table, options: ReadOptions) -> RawFeatures:
    """Features from a table: ids, and beside them one column of lists or numeric columns.

    The row index that pandas stores is left out, with a note.

    Raises:
        InputError: no single column of ids, empty cells, or columns whose meaning is ambiguous.
    """
    path = table.path
    index = [name for name in table.frame.columns if _PANDAS_INDEX.fullmatch(name)]
    frame = table.frame.drop(index)
    id_name = feature_id_column(path, frame.columns, options.columns.item)
    ids = id_column(table, id_name, "item")
    rest = frame.drop(id_name)
    for column in rest:
        if column.null_count():
            place = table.place(column.is_null().arg_max() or 0, column.name)
            raise InputError(place, "an empty cell", "a number in each; leave an item's row out to have it filled")
    if len(rest.columns) == 1 and isinstance(rest.dtypes[0], pl.List | pl.Array):
        values = stack_lists(rest.to_series(), path, ids)
    elif rest.columns and all(dtype.is_float() or dtype.is_integer() for dtype in rest.dtypes):
        _refuse_ambiguous(path, rest)
        values = rest.to_numpy()
    else:
        columns = check.listed(f"{name}: {dtype}" for name, dtype in rest.schema.items())
        raise InputError(path, f"columns {columns}", f"only {_WAY_OUT} ignore_columns (--ignore-column)")
    used = f"{id_name} (item), {check.listed(rest.columns, 4)} (feature{'s' * (len(rest.columns) > 1)})"
    notes = (*table.notes, f"{path.name}: columns used: {used}")
    if index:
        notes = (*notes, f"{path.name}: left out {check.listed(index)}, the row index of pandas")
    return checked(values, path, ids, notes)


def feature_id_column(path: Path, columns: Sequence[str], given: str | None) -> str:
    """The column with the item ids: the given name if it is there, else the one with a usual name.

    Raises:
        InputError: there is none, or several have a usual name.
    """
    if given is not None and given in columns:
        return given
    found = [name for name in columns if plain_name(name) in _ID_NAMES]
    if len(found) > 1:
        raise InputError(
            path,
            f"{len(found)} columns that could hold the item ids: {check.listed(found)}",
            f"one; leave others out, for example with ignore_columns=['{path.name}:{found[-1]}'] (--ignore-column)",
        )
    if not found:
        raise InputError(path, f"columns {check.listed(columns)}", "an id column: item_id, itemID, item or id")
    return found[0]


def _refuse_ambiguous(path: Path, columns: pl.DataFrame) -> None:
    """Refuse numeric columns that may not be features: beside a numbered family, or like an index or an id."""
    families = [re.sub(r"\d+$", "", name) for name in columns.columns]
    numbered = [name for name in columns.columns if re.search(r"\d$", name)]
    largest = max(dict.fromkeys(families), key=families.count)
    odd: list[str] = []
    if len(numbered) > 1 and families.count(largest) > 1:
        members = zip(columns.columns, families, strict=True)
        odd = [name for name, family in members if family != largest or name not in numbered]
    else:
        odd = [name for name in columns.columns if _may_be_ids(columns[name]) or _names_no_feature(name)]
    if odd:
        others = [name for name in columns.columns if name not in odd]
        raise InputError(
            path,
            f"numeric columns that may be no features: {check.listed(odd, 4)} beside {check.listed(others, 2)}",
            f"only {_WAY_OUT} ignore_columns=['{odd[0]}'] (--ignore-column '{odd[0]}')",
        )


def _may_be_ids(column: pl.Series) -> bool:
    """Whether the values are distinct whole numbers, like ids or a running number."""
    numbers = column.cast(pl.Float64)
    return len(column) >= 3 and bool((numbers == numbers.round()).all()) and column.n_unique() == len(column)


def _names_no_feature(name: str) -> bool:
    plain = plain_name(name)
    return plain.endswith("id") or plain in (
        "", "index", "level0", "idx", "row", "rownr", "rownumber", "user", "timestamp", "time", "split", "label"
    )  # fmt: skip


def stack_lists(lists: pl.Series, path: Path, ids: pl.Series) -> npt.NDArray[Any]:
    """A column of lists of equal length as a matrix `[n, F]`.

    Raises:
        InputError: lists of unequal length, or lists that hold something else than numbers.
    """
    if isinstance(lists.dtype, pl.Array):
        lists = lists.arr.to_list()
    widths = lists.list.len()
    width = int(widths[0])
    odd = widths != width
    if odd.any():
        row = odd.arg_max() or 0
        raise InputError(
            f"{path}, row {row + 1} (item {ids[row]!r})", f"{widths[row]} numbers", f"{width}, as on row 1"
        )
    flat = lists.explode() if width else pl.Series([], dtype=pl.Float32)
    if not (flat.dtype.is_float() or flat.dtype.is_integer()):
        raise InputError(path, f"lists of {flat.dtype}", "lists of numbers")
    if flat.null_count():
        row = (flat.is_null().arg_max() or 0) // width
        raise InputError(f"{path}, row {row + 1} (item {ids[row]!r})", "an empty entry", "a number in each")
    return flat.to_numpy().reshape(len(lists), width)


def sequence_column(table: Table, column: str, ids: pl.Series) -> RawFeatures:
    """Features from a column of type `float_seq`: numbers separated by blanks. Items with an empty cell lack them.

    Args:
        table: an atomic file.
        column: the column.
        ids: the item id of each row.

    Raises:
        InputError: a cell that holds something else, unequal lengths, or no numbers at all.
    """
    filled = (table.frame[column].str.strip_chars().str.len_bytes() > 0).fill_null(False)
    if not filled.any():
        raise InputError(f"{table.path}, column {column!r}", "only empty cells", "numbers separated by blanks")
    rows = filled.arg_true()
    cells = table.frame[column].filter(filled).str.strip_chars().str.replace_all(r"\s+", " ").str.split(" ")
    numbers = cells.list.eval(pl.element().cast(pl.Float64, strict=False))
    widths = numbers.list.len()
    bad = (widths != widths[0]) | numbers.list.eval(pl.element().is_null()).list.any()
    if bad.any():
        row = bad.arg_max() or 0
        raise InputError(
            table.place(rows[row], column),
            f"{str(table.frame[column][rows[row]])[:60]!r}",
            f"{widths[0]} numbers separated by blanks, as for the first item",
        )
    values = numbers.explode().to_numpy().reshape(len(cells), int(widths[0])).astype(np.float64)
    return checked(values, table.path, ids.filter(filled), table.notes)
