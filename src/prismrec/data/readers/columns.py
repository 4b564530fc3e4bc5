"""Which column means what, and its content as ids, labels, timestamps or numbers."""

import polars as pl

from prismrec.data import check
from prismrec.data.readers.raw import ColumnNames
from prismrec.data.readers.tabular import Table
from prismrec.data.split import SPLIT_NAMES
from prismrec.errors import InputError

USUAL_NAMES = {
    "user": ("user_id", "user", "uid", "reviewer_id"),
    "item": ("item_id", "item", "iid", "asin", "parent_asin", "movie_id"),
    "timestamp": ("timestamp", "time", "ts", "datetime", "date"),
    "split": ("split", "x_label", "label"),
}
_LABELS = {name: number for number, name in enumerate(SPLIT_NAMES)} | {"0": 0, "1": 1, "2": 2}


def find_column(table: Table, role: str, given: str | None = None) -> str | None:
    """The column for a role (a key of `USUAL_NAMES`): the given name, else the one with a usual name, else None.

    Case, underscores and hyphens do not matter for usual names.

    Raises:
        InputError: the given column is missing, or several have a usual name.
    """
    columns = table.frame.columns
    if given is not None:
        if given not in columns:
            raise InputError(f"{table.path}, line 1", f"columns {check.listed(columns)}", f"a column {given!r}")
        return given
    usual = {_plain(name) for name in USUAL_NAMES[role]}
    found = [name for name in columns if _plain(name) in usual]
    if len(found) > 1:
        raise InputError(
            f"{table.path}, line 1",
            f"{len(found)} columns that could hold the {role}: {check.listed(found)}",
            f"one, chosen with {_flag(role)}",
        )
    return found[0] if found else None


def require_column(table: Table, role: str, given: str | None = None) -> str:
    """As `find_column`, but refuse a table without it."""
    found = find_column(table, role, given)
    if found is None:
        raise InputError(
            f"{table.path}, line 1",
            f"columns {check.listed(table.frame.columns)}",
            f"a column with the {role} ids, called {', '.join(USUAL_NAMES[role])}, or named by {_flag(role)}",
        )
    return found


def _flag(role: str) -> str:
    return f"--{'time' if role == 'timestamp' else role}-column"


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "").replace("-", "")


def id_column(table: Table, column: str, kind: str) -> pl.Series:
    """Ids as strings; whole numbers in Parquet become their decimal digits.

    Raises:
        InputError: an empty id, with its place; a column that holds neither text nor whole numbers.
    """
    ids = table.frame[column]
    if ids.dtype in (pl.Categorical, pl.Enum) or ids.dtype.is_integer():
        ids = ids.cast(pl.String)
    if ids.dtype != pl.String:
        raise InputError(f"{table.path}, column {column!r}", f"{kind} ids of type {ids.dtype}", "text or whole numbers")
    empty = (ids.is_null() | (ids.str.len_bytes() == 0)).fill_null(True)
    if empty.any():
        raise InputError(table.place(empty.arg_max() or 0, column), f"an empty {kind} id", f"a {kind} id on every row")
    return ids.alias(kind)


def row_numbers(table: Table, column: str, kind: str) -> pl.Series:
    """Row numbers as Int64.

    Raises:
        InputError: something that is not a whole number from 0 on, or numbers that cannot be rows.
    """
    ids = id_column(table, column, kind)
    # More than 9 digits would not fit into the 32-bit numbers used everywhere.
    bad = ~ids.str.contains(r"^[0-9]{1,9}$")
    if bad.any():
        row = bad.arg_max() or 0
        raise InputError(
            table.place(row, column), repr(ids[row]), f"a {kind} number: a whole number from 0 to 999,999,999"
        )
    numbers = ids.cast(pl.Int64)
    check.plausible_rows(numbers, f"{table.path}, column {column!r}", kind)
    return numbers


def label_column(table: Table, column: str) -> pl.Series:
    """Split labels as Int8: 0 train, 1 valid, 2 test.

    Raises:
        InputError: another label, with its place.
    """
    raw = table.frame[column]
    if raw.dtype.is_nested() or raw.dtype == pl.Binary:
        raise InputError(f"{table.path}, column {column!r}", f"type {raw.dtype}", "text or whole numbers")
    raw = raw.cast(pl.String)
    labels = raw.replace_strict(_LABELS, default=None, return_dtype=pl.Int8)
    if labels.null_count():
        row = labels.is_null().arg_max() or 0
        raise InputError(table.place(row, column), f"split label {raw[row]!r}", "train, valid or test, or 0, 1 or 2")
    return labels.alias("label")


def timestamp_column(table: Table, column: str) -> pl.Series:
    """Timestamps as numbers: whole or decimal numbers as they are, dates as microseconds.

    Raises:
        InputError: a value that is neither, with its place.
    """
    raw = table.frame[column]
    times = raw
    if raw.dtype == pl.String:
        times = raw.cast(pl.Int64, strict=False)
        if times.null_count():
            times = raw.cast(pl.Float64, strict=False)
        if times.null_count() == len(raw):
            times = raw.str.to_datetime(strict=False, time_unit="us", ambiguous="null")
    if times.dtype in (pl.Date, pl.Datetime):
        times = times.cast(pl.Datetime("us")).dt.timestamp("us")
    if not times.dtype.is_numeric():
        raise InputError(f"{table.path}, column {column!r}", f"type {raw.dtype}", "numbers or dates")
    bad = ~times.is_finite().fill_null(False)
    if bad.any():
        row = bad.arg_max() or 0
        raise InputError(
            table.place(row, column), f"timestamp {raw[row]!r}", "a number or a date such as 2024-05-31T12:00:00"
        )
    return (times if times.dtype.is_float() else times.cast(pl.Int64)).alias("timestamp")


def interactions(table: Table, names: ColumnNames, *, numbered: bool = False) -> tuple[pl.DataFrame, list[str]]:
    """The columns of `RawData.pairs`, and notes on what was read and what was not.

    Args:
        table: the table of interactions.
        names: columns named by the user.
        numbered: ids are row numbers; `user` and `item` are then Int64.
    """
    user = require_column(table, "user", names.user)
    item = require_column(table, "item", names.item)
    timestamp = find_column(table, "timestamp", names.timestamp)
    split = find_column(table, "split", names.split)
    ids = row_numbers if numbered else id_column
    columns = [ids(table, user, "user"), ids(table, item, "item")]
    if timestamp is not None:
        columns.append(timestamp_column(table, timestamp))
    if split is not None:
        columns.append(label_column(table, split))
    notes = [] if split is None else [f"{table.path.name}: split labels are in column {split!r}"]
    unread = [name for name in table.frame.columns if name not in (user, item, timestamp, split)]
    if unread:
        notes.append(f"{table.path.name}: columns not used: {', '.join(unread)}")
    return pl.DataFrame(columns), notes
