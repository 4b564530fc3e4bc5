"""Timestamps: numbers in any unit, or ISO dates. No other way to write a date is guessed."""

import polars as pl

from prismrec.data.readers.columns import without_empty
from prismrec.data.readers.tabular import Table
from prismrec.errors import InputError

_EXPECTED = "a number or an ISO date such as 2024-05-31 or 2024-05-31T12:00:00"
_ONE_KIND = "numbers on all rows, or dates on all rows, with a time zone on all or on none"
_UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
_EARLIEST = 631_152_000
"""1990-01-01 in seconds: timestamps between this and `_LATEST` are of one unit only."""
_LATEST = 4_102_444_800
"""2100-01-01 in seconds."""
_DATE = r"^\d{4}-\d{2}-\d{2}$"
_MOMENT = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?$"
_ZONED = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)? ?(Z|[+-]\d{2}:?\d{2})$"


def timestamp_column(table: Table, column: str) -> pl.Series:
    """Timestamps as Int64 or Float64: numbers as they are, dates in microseconds.

    Raises:
        InputError: a value that is neither, with its place.
    """
    raw = table.frame[column]
    if raw.dtype == pl.String:
        times = _parse(raw)
    elif raw.dtype in (pl.Date, pl.Datetime):
        times = raw.cast(pl.Datetime("us"), strict=False).dt.timestamp("us")
    elif raw.dtype.is_integer():
        times = raw.cast(pl.Int64, strict=False)
    elif raw.dtype.is_numeric():
        times = raw.cast(pl.Float64, strict=False)
    else:
        raise InputError(f"{table.path}, column {column!r}", f"type {raw.dtype}", "numbers or dates")
    bad = ~times.is_finite().fill_null(False)
    if bad.any():
        row = bad.arg_max() or 0
        found = f"timestamp {raw[row]!r}" if raw[row] not in (None, "") else "no timestamp"
        if raw.dtype == pl.String and not bad.all() and not _parse(raw[row : row + 1]).null_count():
            raise InputError(table.place(row, column), f"{found} beside {raw.filter(~bad)[0]!r}", _ONE_KIND)
        advice = without_empty(column) if raw[row] in (None, "") else ""
        raise InputError(table.place(row, column), found, _EXPECTED + advice)
    return times.alias("timestamp")


def notes_on_units(times: pl.Series, where: str) -> tuple[str, ...]:
    """A note if some timestamps look like another unit than others, as seconds beside milliseconds do.

    Args:
        times: as from `timestamp_column`.
        where: what to call their source.
    """
    found = []
    for unit, factor in _UNITS.items():
        is_unit = times.is_between(_EARLIEST * factor, _LATEST * factor)
        if is_unit.any():
            found.append(f"{unit} ({is_unit.sum():,} such as {times[is_unit.arg_max() or 0]})")
    if len(found) < 2:
        return ()
    return (f"{where}: timestamps that look like {' and '.join(found)}, compared as they are",)


def _parse(raw: pl.Series) -> pl.Series:
    """Text as numbers; null where it is neither a number nor an ISO date, or not of the kind of the first rows."""
    text = raw.str.strip_chars(" ")
    whole = text.cast(pl.Int64, strict=False)
    if not whole.null_count():
        return whole
    decimal = text.cast(pl.Float64, strict=False)
    if decimal.null_count() < len(raw):
        return decimal
    zoned = text.str.contains(_ZONED)
    iso = zoned if zoned.any() else text.str.contains(_DATE) | text.str.contains(_MOMENT)
    text = pl.select(pl.when(iso).then(text)).to_series()
    if zoned.any():
        text = text.str.replace(r" ?Z$", "+00:00").str.replace(r" ?([+-]\d{2}):?(\d{2})$", "$1:$2")
    text = text.str.replace(" ", "T", literal=True)
    text = text.str.replace(r"^(.{10})$", "${1}T00:00:00")
    text = text.str.replace(r"^(.{16})($|[+-])", "${1}:00${2}")
    layout = "%Y-%m-%dT%H:%M:%S%.f%z" if zoned.any() else "%Y-%m-%dT%H:%M:%S%.f"
    return text.str.to_datetime(layout, strict=False, time_unit="us").dt.timestamp("us")
