"""Tables as data: JSON that every reader accepts, and CSV that is safe to open in a spreadsheet."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_FORMULA_STARTS = "^[=+@-]"
"""Spreadsheets run text that begins with these characters."""


def json_ready(value: object) -> object:
    """The value with everything that JSON lacks replaced: NaN and infinities by null, dates and others by text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Mapping):
        return {str(key): json_ready(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(each) for each in value]
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def write_table(table: "pl.DataFrame", path: Path, suffix: str) -> None:
    """Write a table as .csv, .json or .parquet; escape a CSV with `csv_ready` first."""
    import json

    if suffix == ".parquet":
        table.write_parquet(path)
    elif suffix == ".json":
        path.write_text(json.dumps([json_ready(row) for row in table.iter_rows(named=True)]), encoding="utf-8")
    else:
        table.write_csv(path)


def csv_ready(table: "pl.DataFrame", *, escape_formulas: bool) -> tuple["pl.DataFrame", int]:
    """The table with columns that CSV can hold, and the number of escaped cells.

    Lists and structures become JSON, bytes become hexadecimal digits, durations become text. A text that begins with
    =, +, - or @ gets an apostrophe in front if `escape_formulas`.
    """
    import polars as pl

    columns = [_as_csv_column(column) for column in table.iter_columns()]
    if not escape_formulas:
        return pl.DataFrame(columns), 0
    texts = [column for column in columns if column.dtype == pl.String]
    escaped = sum(int(column.str.contains(_FORMULA_STARTS).sum()) for column in texts)
    replaced = [column.str.replace(f"({_FORMULA_STARTS})", "'${1}") for column in texts]
    return pl.DataFrame(columns).with_columns(replaced), escaped


def _as_csv_column(column: "pl.Series") -> "pl.Series":
    import json

    import polars as pl

    if column.dtype.is_nested():
        texts = [None if value is None else json.dumps(json_ready(value)) for value in column.to_list()]
        return pl.Series(column.name, texts, dtype=pl.String)
    if column.dtype in (pl.Binary, pl.Duration):
        texts = [None if value is None else str(json_ready(value)) for value in column.to_list()]
        return pl.Series(column.name, texts, dtype=pl.String)
    if column.dtype in (pl.Categorical, pl.Enum):
        return column.cast(pl.String)
    return column
