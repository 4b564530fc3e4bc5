"""Files of separated fields, such as CSV, and the numbers and times in them."""

import csv
import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from prismrec.data.readers.boundary import LIBRARY_ERRORS, quiet_panics
from prismrec.data.sources.contract import Rows
from prismrec.data.sources.streams import Block, blocks
from prismrec.errors import InputError


@dataclass(frozen=True)
class Layout:
    """The layout of a file of separated fields.

    Attributes:
        columns: the names of the columns, in the order of the file.
        header: whether the first line has the names.
        separator: between two fields.
        encoding: of the text.
        quoted: whether fields may be in quotation marks. A quoted field may contain line breaks only in `table_rows`.
    """

    columns: tuple[str, ...]
    header: bool
    separator: str = ","
    encoding: str = "utf-8"
    quoted: bool = False


def field_rows(path: Path, layout: Layout) -> Iterator[Rows]:
    """The records of a file of separated fields, as columns of text.

    Raises:
        InputError: other columns than documented, or a line with another number of fields.
    """
    return _parsed(path, layout, blocks(path))


def table_rows(path: Path, layout: Layout) -> Iterator[Rows]:
    """As `field_rows`, but at once, so that quoted fields may contain line breaks."""
    return _parsed(path, layout, iter([Block(b"".join(block.text for block in blocks(path)), 1)]))


def _parsed(path: Path, layout: Layout, parts: Iterator[Block]) -> Iterator[Rows]:
    first = 1
    for index, block in enumerate(parts):
        text = _as_utf8(path, block, layout).replace(b"\r\n", b"\n")
        line = block.line
        if index == 0 and layout.header:
            text = _without_header(path, text, layout)
            line += 1
        if text.strip():
            frame = _fields(path, Block(text, line), layout)
            yield Rows(frame, path, first)
            first += frame.height
    if first == 1:
        raise InputError(path, "no record", "at least one record")


def _as_utf8(path: Path, block: Block, layout: Layout) -> bytes:
    if layout.encoding != "utf-8":
        return block.text.decode(layout.encoding).encode()
    try:
        block.text.decode()
    except UnicodeDecodeError as error:
        line = block.line + block.text.count(b"\n", 0, error.start)
        raise InputError(f"{path}, line {line}", f"byte {block.text[error.start]:#04x}", "text in UTF-8") from None
    return block.text


def _without_header(path: Path, text: bytes, layout: Layout) -> bytes:
    """The text after the header.

    Raises:
        InputError: the header has other names. Columns after the documented ones are refused too.
    """
    header, _, rest = text.partition(b"\n")
    line = header.decode().removeprefix("\ufeff").rstrip("\r")
    names = line.split(layout.separator)
    if layout.quoted:
        with suppress(csv.Error):
            names = next(csv.reader([line], delimiter=layout.separator), [])
    if tuple(names) != layout.columns:
        found = f"columns {', '.join(names)}"[:200]
        raise InputError(f"{path}, line 1", found, f"columns {', '.join(layout.columns)}")
    return rest


def _fields(path: Path, block: Block, layout: Layout) -> pl.DataFrame:
    text = block.text
    separator = layout.separator
    if len(separator) > 1:  # polars separates by one byte
        if b"\t" in text:
            raise InputError(path, "a tab", f"fields separated by {separator}")
        text = text.replace(separator.encode(), b"\t")
        separator = "\t"
    try:
        with quiet_panics():
            frame = pl.read_csv(
                io.BytesIO(text),
                has_header=False,
                separator=separator,
                quote_char='"' if layout.quoted else None,
                schema={name: pl.String() for name in layout.columns},
            )
    except LIBRARY_ERRORS as error:
        _refuse_odd_line(path, block, layout)
        found = f"unreadable content ({str(error).splitlines()[0][:100]})"
        raise InputError(path, found, f"{len(layout.columns)} fields in every line") from None
    if text.count(separator.encode()) != frame.height * (len(layout.columns) - 1):
        _refuse_odd_line(path, block, layout)  # older versions of polars fill up short lines
    return frame


def _refuse_odd_line(path: Path, block: Block, layout: Layout) -> None:
    """Find the line with another number of fields."""
    if layout.quoted:
        return
    for number, line in enumerate(block.text.decode().split("\n"), block.line):
        count = line.count(layout.separator) + 1
        if line.strip() and count != len(layout.columns):
            expected = f"{len(layout.columns)} separated by {layout.separator!r}: {', '.join(layout.columns)}"
            raise InputError(f"{path}, line {number}", f"{count} fields", expected)


def numbers(rows: Rows, column: str, dtype: pl.DataType | type[pl.DataType]) -> pl.Series:
    """A column of text as numbers.

    Raises:
        InputError: a value that is no number of this type.
    """
    text = rows.frame[column]
    values = text.cast(dtype, strict=False)
    bad = values.is_null()
    if values.dtype.is_float():
        bad = bad | ~values.is_finite().fill_null(False)
    if bad.any():
        row = bad.arg_max() or 0
        raise InputError(f"{rows.place(row)}, column {column!r}", repr(text[row]), "a number")
    return values


def moments(rows: Rows, column: str, layout: str) -> pl.Series:
    """A column of text as moments in UTC, in milliseconds.

    Args:
        rows: the records.
        column: the name of the column.
        layout: how a moment is written, in the notation of chrono, such as `%Y-%m-%d`.

    Raises:
        InputError: a value that is written in another way.
    """
    text = rows.frame[column]
    if "%M" in layout:
        times = text.str.to_datetime(layout, strict=False, time_unit="ms")
    else:
        times = text.str.to_date(layout, strict=False).cast(pl.Datetime("ms"))
    if isinstance(times.dtype, pl.Datetime) and times.dtype.time_zone:
        times = times.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    bad = times.is_null()
    if bad.any():
        row = bad.arg_max() or 0
        raise InputError(f"{rows.place(row)}, column {column!r}", repr(text[row]), f"a time such as {layout}")
    return times


def seconds(values: pl.Series) -> pl.Series:
    """Seconds since 1970 as moments."""
    return (values.cast(pl.Int64) * 1000).cast(pl.Datetime("ms"))
