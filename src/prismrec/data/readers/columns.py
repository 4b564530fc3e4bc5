"""Which column has which role, and its content as ids, row numbers, split labels or numbers."""

from collections.abc import Collection

import polars as pl

from prismrec.data import check
from prismrec.data.readers.raw import LABELS_SET_ASIDE
from prismrec.data.readers.tabular import Table
from prismrec.data.split import SPLIT_NAMES
from prismrec.errors import InputError

USUAL_NAMES = {
    "user": ("user_id", "user", "uid", "reviewer_id"),
    "item": ("item_id", "item", "iid", "asin", "parent_asin", "movie_id"),
    "timestamp": ("timestamp", "time", "ts", "datetime", "date"),
    "split": ("split", "x_label"),
    "rating": ("rating", "score", "stars", "overall"),
}
_OPTIONS = {
    "user": "ColumnNames.user, --user-column",
    "item": "ColumnNames.item, --item-column",
    "timestamp": "ColumnNames.timestamp, --time-column",
    "split": "ColumnNames.split, --split-column",
    "rating": "ColumnNames.rating, --rating-column",
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
            raise InputError(table.header, f"columns {check.listed(columns)}", f"a column {given!r}")
        return given
    usual = {plain_name(name) for name in USUAL_NAMES[role]}
    found = [name for name in columns if plain_name(name) in usual]
    if len(found) > 1:
        raise InputError(
            table.header,
            f"{len(found)} columns that could hold the {role}: {check.listed(found)}",
            f"one, chosen with {_OPTIONS[role]}",
        )
    return found[0] if found else None


def require_column(table: Table, role: str, given: str | None = None) -> str:
    """The column for a role, as `find_column` finds it.

    Raises:
        InputError: there is none, or several have a usual name.
    """
    found = find_column(table, role, given)
    if found is None:
        raise InputError(
            table.header,
            f"columns {check.listed(table.frame.columns)}",
            f"a column for the {role}, called {', '.join(USUAL_NAMES[role])}, or named by {_OPTIONS[role]}",
        )
    return found


def find_split_column(table: Table, given: str | None, conditions: Collection[str]) -> str | None:
    """The column with split labels: the given name, else the one with a usual name, else a `label` with split names.

    Many click logs have a column `label` that says which rows are clicks, in numbers or words.

    Args:
        table: the interactions.
        given: the name that the user gave.
        conditions: columns that the user gave conditions for; they hold no split.

    Raises:
        InputError: the given column is missing, several have a usual name, or `label` holds something else.
    """
    found = find_column(table, "split", given)
    if found is not None:
        return found
    for column in _label_columns(table, conditions):
        values = _distinct(table, column)
        if _are_splits(values):
            return column
        click = next((value for value in values if value.lower() in ("1", "1.0", "true", "yes")), "VALUE")
        raise InputError(
            f"{table.path}, column {column!r}",
            f"{check.listed(values, 3)}, which may be clicks or a split",
            f"a choice: columns=ColumnNames(split={column!r}) (--split-column {column}) if it is the split, "
            f"where=['{column}={click}'] (--where {column}={click}) if {click} marks a click, or "
            f"ignore_columns=['{column}'] (--ignore-column {column}) to count every row",
        )
    return None


def notes_on_labels(table: Table, used: Collection[str]) -> list[str]:
    """Notes on columns `label` that nothing uses: rows that they may mark as no click count as interactions."""
    notes = []
    for column in _label_columns(table, used):
        values = _distinct(table, column)
        shown = f"{table.path.name}: column {column!r} holds {check.listed(values, 3)}"
        is_split = _are_splits(values)
        notes.append(LABELS_SET_ASIDE if is_split else f"{shown}, but every row counts as an interaction")
    return notes


def _label_columns(table: Table, used: Collection[str]) -> list[str]:
    columns = [name for name, dtype in table.frame.schema.items() if plain_name(name) == "label" and _is_plain(dtype)]
    return [name for name in columns if name not in used]


def _distinct(table: Table, column: str) -> pl.Series:
    return text_of(table, column).unique().drop_nulls().sort()


def _are_splits(values: pl.Series) -> bool:
    return len(values) > 0 and values.is_in(SPLIT_NAMES).all()


def _is_plain(dtype: pl.DataType) -> bool:
    return not dtype.is_nested() and dtype not in (pl.Binary, pl.Object)


def text_of(table: Table, column: str) -> pl.Series:
    """The values of a column as text.

    Raises:
        InputError: the column holds bytes, lists or Python objects.
    """
    values = table.frame[column]
    if not _is_plain(values.dtype):
        raise InputError(f"{table.path}, column {column!r}", f"type {values.dtype}", "text or whole numbers")
    return values.cast(pl.String)


def plain_name(name: str) -> str:
    """A column name without case, blanks around it, underscores and hyphens."""
    return name.strip().lower().replace("_", "").replace("-", "")


def without_empty(column: str) -> str:
    """How to leave out the interactions that have no value in a column, for messages."""
    return f"; where=['{column}!='] (--where '{column}!=') leaves out rows without one"


def id_column(table: Table, column: str, kind: str, advice: str = "") -> pl.Series:
    """Ids as strings; whole numbers in Parquet become their decimal digits. `advice` says what to do about empty ones.

    Raises:
        InputError: an empty id or one with a NUL character, with its place; a column that holds neither text nor
            whole numbers.
    """
    ids = table.frame[column]
    if ids.dtype in (pl.Categorical, pl.Enum) or ids.dtype.is_integer():
        ids = ids.cast(pl.String)
    if ids.dtype != pl.String:
        raise InputError(f"{table.path}, column {column!r}", f"{kind} ids of type {ids.dtype}", "text or whole numbers")
    empty = (ids.is_null() | (ids.str.len_bytes() == 0)).fill_null(True)
    if empty.any():
        expected = f"a {kind} id on every row"
        raise InputError(table.place(empty.arg_max() or 0, column), f"an empty {kind} id", expected + advice)
    nul = check.has_nul(ids)
    if nul.any():
        row = nul.arg_max() or 0
        raise InputError(table.place(row, column), f"{kind} id {ids[row]!r}", "an id without NUL characters")
    return ids.alias(kind)


def row_numbers(table: Table, column: str, kind: str) -> pl.Series:
    """Row numbers as Int64.

    Raises:
        InputError: a value that is not a whole number from 0 on, or numbers that cannot be rows.
    """
    ids = id_column(table, column, kind, without_empty(column))
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
    raw = text_of(table, column)
    labels = raw.replace_strict(_LABELS, default=None, return_dtype=pl.Int8)
    if labels.null_count():
        row = labels.is_null().arg_max() or 0
        raise InputError(table.place(row, column), f"split label {raw[row]!r}", "train, valid or test, or 0, 1 or 2")
    return labels.alias("label")


def number_column(table: Table, column: str) -> pl.Series:
    """Numbers as Float64, null where a cell is empty.

    Raises:
        InputError: a value that is not a number, with its place.
    """
    raw = table.frame[column]
    if not (raw.dtype == pl.String or raw.dtype.is_numeric() or raw.dtype == pl.Boolean):
        raise InputError(f"{table.path}, column {column!r}", f"type {raw.dtype}", "numbers")
    numbers = raw.cast(pl.Float64, strict=False)
    bad = (numbers.is_null() & raw.is_not_null()) | numbers.is_nan().fill_null(False)
    if bad.any():
        row = bad.arg_max() or 0
        raise InputError(table.place(row, column), repr(raw[row]), "a number")
    return numbers
