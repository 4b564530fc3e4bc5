"""Conditions over the item table: which rows satisfy an SQL expression, and what groups and dates they have."""

import datetime
import re

import numpy as np
import polars as pl
from polars.exceptions import PolarsError, SQLInterfaceError

from prismrec.errors import ParameterError
from prismrec.retrieval.ranking import Int64Array
from prismrec.types import BoolArray

ID_COLUMN = "item_id"
"""The column of the item table that holds the ids; it is always text."""
_RESULT = "__prismrec_condition__"
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
_OPERATOR = re.compile(r"\b(?:and|or)\b|[-+*/%&|^]", re.IGNORECASE)
_SUBQUERY = re.compile(r"\bselect\b", re.IGNORECASE)
_MOST_OPERATORS = 300
"""polars overflows its stack on a chain of some thousands, and takes a minute for a thousand `&`."""


def where_mask(table: pl.DataFrame, condition: str) -> BoolArray:
    """The rows that satisfy a condition, bool `[I]`; false where it is null.

    Text that holds numbers, truth values or dates only, as from a CSV file, is compared as such. If the condition is
    impossible then, for example because it compares numbers with text, it is compared as text. A text in the condition
    beside a date is a date: "added > '2026-01-31'".

    Args:
        table: the item table `[I]`.
        condition: an SQL expression of polars, such as "price < 20 and in_stock".

    Raises:
        ParameterError: it is no expression, has too many operators, names an unknown column, or is neither true nor
            false.
    """
    operators = len(_OPERATOR.findall(_QUOTED.sub("", condition)))
    if operators > _MOST_OPERATORS:
        expected = f"at most {_MOST_OPERATORS}, such as one `in` for many values"
        raise ParameterError("where", f"{operators:,} operators", expected)
    columns = f"columns of {_listed(table.columns)}"
    known = f"an SQL expression over {columns}"
    try:
        expression = pl.sql_expr(condition)
        missing = [name for name in expression.meta.root_names() if name not in table.columns]
        if missing:
            raise ParameterError("where", f"column {missing[0]!r} in {condition!r}", columns)
        used = table.select(sorted({*expression.meta.root_names()}) or table.columns[:1])
        result = _evaluated_somehow(used, expression, condition)
    except (PolarsError, UnicodeError) as error:
        reason = str(error).partition("\n")[0]
        raise ParameterError("where", f"{condition!r} ({reason})", known) from error
    if result.dtype != pl.Boolean:
        raise ParameterError("where", f"{condition!r}, which is {result.dtype}", f"{known} that is true or false")
    return result.fill_null(False).to_numpy()


def _evaluated_somehow(table: pl.DataFrame, expression: pl.Expr, condition: str) -> pl.Series:
    """The condition over columns as what they hold; then with texts beside dates as dates; then over text as it is."""
    as_held = table.with_columns(typed(column) for column in table)
    try:
        return _evaluated(as_held, expression)
    except PolarsError:
        pass
    try:
        return _evaluated_with_dates(as_held, condition)
    except PolarsError:
        return _evaluated(table, expression)


def _evaluated_with_dates(table: pl.DataFrame, condition: str) -> pl.Series:
    """The condition as a query: there, polars knows the types of the columns and reads a text beside a date as one."""
    if _SUBQUERY.search(_QUOTED.sub("", condition)):
        raise SQLInterfaceError("a subquery")
    result = table.lazy().sql(f"SELECT ({condition}\n) AS {_RESULT} FROM self").collect()[_RESULT]
    if len(result) != len(table):
        raise SQLInterfaceError("an aggregate")
    return result


def _evaluated(table: pl.DataFrame, expression: pl.Expr) -> pl.Series:
    return table.lazy().with_columns(expression.alias(_RESULT)).select(_RESULT).collect()[_RESULT]


def typed(column: pl.Series) -> pl.Series:
    """A column of text as numbers, truth values or times, if all of its values are such."""
    if column.dtype != pl.String or column.name == ID_COLUMN or not column.count():
        return column
    for dtype in (pl.Int64, pl.Float64):
        numbers = column.cast(dtype, strict=False)
        if numbers.count() == column.count():
            return numbers
    lower = column.str.to_lowercase()
    if lower.drop_nulls().is_in(["true", "false"]).all():
        return lower == "true"
    try:
        return column.str.to_datetime(strict=True)
    except PolarsError:
        return column


def group_numbers(table: pl.DataFrame, column: str) -> Int64Array:
    """The group of each row: rows with equal values have equal numbers; -1 where the value is null; `[I]`.

    Raises:
        ParameterError: the column is unknown or holds lists or structures.
    """
    values = _column(table, "at_most", column)
    if values.dtype.is_nested():
        raise ParameterError("at_most", f"column {column!r} of {values.dtype}", "a column with one value per item")
    distinct = values.unique().drop_nulls()
    numbers = pl.DataFrame({"value": distinct, "number": np.arange(len(distinct))})
    joined = values.to_frame("value").join(numbers, on="value", how="left", maintain_order="left")
    return joined["number"].fill_null(-1).to_numpy()


def newer_mask(table: pl.DataFrame, column: str, after: datetime.date) -> BoolArray:
    """The rows whose date is later than `after`, bool `[I]`; false where it is null.

    Args:
        table: the item table `[I]`.
        column: a column of dates or times, or of ISO 8601 text.
        after: a date or a time; a date means its midnight, and times without a zone are in UTC.

    Raises:
        ParameterError: the column is unknown or holds no dates, or `after` is before the year 1 or after 9999 in UTC.
    """
    values = _column(table, "newest", column)
    try:
        earliest = _midnight_or_time(after)
    except OverflowError as error:
        raise ParameterError("newest", str(after), "a time within the years 1 to 9999 in UTC") from error
    expected = "a column of dates, times or ISO 8601 text"
    try:
        if values.dtype == pl.String:
            times = values.str.to_datetime(time_zone="UTC", time_unit="us", strict=True)
        elif values.dtype == pl.Date or (isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is None):
            times = values.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        elif isinstance(values.dtype, pl.Datetime):
            times = values.dt.convert_time_zone("UTC")
        else:
            raise ParameterError("newest", f"column {column!r} of {values.dtype}", expected)
    except PolarsError as error:
        found = f"column {column!r} with values such as {values.drop_nulls()[0]!r}"
        raise ParameterError("newest", found, expected) from error
    return (times > earliest).fill_null(False).to_numpy()


def _midnight_or_time(after: datetime.date) -> datetime.datetime:
    time = after if isinstance(after, datetime.datetime) else datetime.datetime.combine(after, datetime.time())
    return time.astimezone(datetime.UTC) if time.tzinfo else time.replace(tzinfo=datetime.UTC)


def _column(table: pl.DataFrame, parameter: str, column: str) -> pl.Series:
    if column not in table.columns:
        raise ParameterError(parameter, f"column {column!r}", f"columns of {_listed(table.columns)}")
    return table[column]


def _listed(columns: list[str]) -> str:
    return "the item table: " + ", ".join(columns)
