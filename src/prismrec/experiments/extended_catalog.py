"""The item table of a run with the rows of new items, whose values get the types of the run."""

import polars as pl

from prismrec.data.additions import NewItems
from prismrec.data.readers.table import as_numbers
from prismrec.errors import InputError

_TRUTH_VALUES = {"true": True, "false": False}


def extended_catalog(catalog: pl.DataFrame | None, new: NewItems) -> pl.DataFrame | None:
    """The catalog with the rows of the new items; columns that only they have are left out.

    Args:
        catalog: of the run; None if it has none.
        new: the new items.

    Raises:
        InputError: a value does not have the type that the run has for its column.
    """
    if catalog is None:
        return None
    rows = pl.DataFrame({"item_id": new.items.ids}) if new.catalog is None else new.catalog
    columns = []
    for name, dtype in catalog.schema.items():
        column = rows[name] if name in rows.columns else pl.Series(name, [None] * len(rows), dtype=pl.Null)
        columns.append(_of_type(column, dtype, f"{new.source}, item table, column {name!r}"))
    return pl.concat([catalog, pl.DataFrame(columns)], how="vertical_relaxed")


def _of_type(column: pl.Series, dtype: pl.DataType, place: str) -> pl.Series:
    """Values of new items in the type of the run; numbers with decimals stay such among whole numbers.

    Raises:
        InputError: a value does not have the type.
    """
    expected = f"values of type {dtype}, as in the run"
    try:
        typed = _parsed(column, dtype) if column.dtype == pl.String else column
        lost = column.filter(typed.is_null() & column.is_not_null())
        if len(lost):
            raise InputError(place, repr(lost[0]), expected)
        has_decimals = typed.dtype.is_float() and dtype.is_integer()
        return typed.cast(typed.dtype if has_decimals else dtype)
    except pl.exceptions.PolarsError as error:
        raise InputError(place, str(error).split("\n")[0], expected) from error


def _parsed(texts: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Texts as values of a type where polars does not cast them; null for what is none, such as the number `007`."""
    if dtype.is_numeric():
        return as_numbers(texts.set(texts.str.contains(r"^-?0\d"), None))
    if dtype == pl.Boolean:
        return texts.str.to_lowercase().replace_strict(_TRUTH_VALUES, default=None, return_dtype=pl.Boolean)
    if dtype == pl.Date:
        return texts.str.to_date(strict=False)
    if isinstance(dtype, pl.Datetime):
        return texts.str.to_datetime(time_unit=dtype.time_unit, time_zone=dtype.time_zone, strict=False)
    return texts
