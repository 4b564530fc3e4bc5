"""Tables on disk: CSV, TSV, Parquet and atomic files. A row that does not fit its header is refused, with its line."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from prismrec.data.readers.boundary import foreign_errors, quiet_panics, require_file
from prismrec.data.readers.parquet import read_parquet
from prismrec.data.readers.raw import ReadOptions
from prismrec.data.readers.records import (
    LINE_ENDS,
    SEPARATOR_NAMES,
    blank_rows,
    decode,
    ending,
    is_atomic,
    records,
    refuse_lone_return,
    refuse_record_of_two_lines,
    refuse_stray_quote,
    separator_of,
)
from prismrec.data.readers.unpacked import read_bytes
from prismrec.errors import InputError

TABLE_ENDINGS = (".csv", ".tsv", ".parquet", ".csv.gz", ".tsv.gz")
_TEXT_AFTER_QUOTE = re.compile(rb'(?:^|[,\t\n])"[^"]*(?:""[^"]*)*"(?![,\t\r\n"]|\Z)')
"""A field whose closing quotation mark is not at its end. polars drops the marks; other matches are false alarms."""
_COMPRESSED = {
    b"\x1f\x8b": "gzip twice",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"x\x01": "zlib",
    b"x\x9c": "zlib",
    b"x\xda": "zlib",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"PK\x03\x04": "zip",
}


@dataclass(frozen=True, eq=False)
class Table:
    """A table and where it came from. The columns of text files are all String.

    Attributes:
        path: the file; of data in memory the name of the parameter.
        frame: its content.
        types: the type that an atomic file declares for a column (`float_seq` in `image:float_seq`), if it does.
        notes: what was counted while reading.
        in_memory: whether the table is no file.
        rows: the row of each row in the whole table, if this is a part of it.
    """

    path: Path
    frame: pl.DataFrame
    types: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    in_memory: bool = False
    rows: pl.Series | None = None

    def where(self, keep: pl.Series) -> "Table":
        """The rows where the mask is true; messages name their places in the whole table."""
        return replace(self, frame=self.frame.filter(keep), rows=self.row_numbers.filter(keep))

    @property
    def row_numbers(self) -> pl.Series:
        """The row of each row in the whole table, Int64."""
        return pl.int_range(len(self.frame), dtype=pl.Int64, eager=True) if self.rows is None else self.rows

    @property
    def header(self) -> str:
        """The place of the column names, for messages."""
        return str(self.path) if self.in_memory else f"{self.path}, line 1"

    def place(self, row: int, column: str | None = None) -> str:
        """The file, line (text) or row (Parquet), and column of a cell, for messages; `row` is 0-based."""
        suffix = "" if column is None else f", column {column!r}"
        row = row if self.rows is None else self.rows[row]
        if self.in_memory:
            return f"{self.path}, row {row} (from 0){suffix}"
        if ending(self.path) == ".parquet":
            return f"{self.path}, row {row + 1}{suffix}"
        for index, (line, _) in enumerate(records(self.path, read_bytes(self.path, None))):
            if index == row + 1:
                return f"{self.path}, line {line}{suffix}"
        return f"{self.path}{suffix}"


def read_table(path: Path, options: ReadOptions) -> Table:
    """Read a table without the columns to ignore. The ending says the format; every unknown ending is an atomic file.

    Raises:
        InputError: not a readable file, too large, not UTF-8, truncated, without rows, or a row with another number
            of fields than the header.
    """
    require_file(path)
    frame = read_parquet(path, options.memory_limit) if ending(path) == ".parquet" else _read_text(path, options)
    if frame.is_empty():
        raise InputError(path, "a header without rows", "at least one row")
    _refuse_second_header(Table(path, frame))
    types: dict[str, str] = {}
    if is_atomic(path):
        frame, types = _without_types(path, frame)
    table = without_ignored(Table(path, frame, types), options)
    broken = sum(_line_breaks(table.frame))
    if broken:
        return replace(table, notes=(*table.notes, f"{path.name}: {broken:,} fields contain line breaks"))
    return table


def without_ignored(table: Table, options: ReadOptions) -> Table:
    """The table without the columns to ignore, which a note names."""
    name_of = table.path.name
    entries = {name: {name, f"{name_of}:{name}"}.intersection(options.ignore_columns) for name in table.frame.columns}
    ignored = [name for name, found in entries.items() if found]
    if not ignored:
        return table
    options.ignored_columns.update(*entries.values())
    note = f"{name_of}: columns ignored: {', '.join(ignored)}"
    return replace(table, frame=table.frame.drop(ignored), notes=(*table.notes, note))


def read_text(path: Path, limit: int | None) -> str:
    """The content of a text file, unzipped, without a byte order mark.

    Args:
        path: the file.
        limit: the largest size of the content in bytes; None is no limit.

    Raises:
        InputError: not a readable file, too large, broken gzip, or a byte that is not UTF-8, with its line and offset.
    """
    return decode(path, read_bytes(path, limit))


def _refuse_compressed(path: Path, content: bytes) -> None:
    """Refuse compressed content. polars would unpack some of it without regard to the memory limit."""
    for magic, name in _COMPRESSED.items():
        if content.startswith(magic):
            raise InputError(path, f"content compressed with {name}", "plain text, or text compressed once with gzip")


def _without_types(path: Path, frame: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, str]]:
    """A frame without the types in its header (`user_id:token` becomes `user_id`), and the types."""
    types: dict[str, str] = {}
    for column in frame.columns:
        name, _, kind = column.partition(":")
        kind = kind.strip().lower()
        if name in types:
            raise InputError(f"{path}, line 1", f"column {name!r} twice", "each column once")
        types[name] = kind
    return frame.rename(dict(zip(frame.columns, types, strict=True))), types


def _refuse_second_header(table: Table) -> None:
    """Refuse a row that repeats the header, as joined files have: it would be an interaction, an item or a user."""
    names = table.frame.columns
    if len(names) < 2 or any(dtype != pl.String for dtype in table.frame.dtypes):
        return
    rows = table.frame[names[0]].eq(names[0]).fill_null(False).arg_true()
    for row in rows:
        if table.frame.row(row) == tuple(names):
            raise InputError(table.place(row), "the header a second time", "one header, on line 1")


def _line_breaks(frame: pl.DataFrame) -> list[int]:
    """The number of fields with a line break, in each column of text."""
    text = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    return [int(frame[name].str.contains("\n", literal=True).sum()) for name in text]


def _read_text(path: Path, options: ReadOptions) -> pl.DataFrame:
    content = read_bytes(path, options.memory_limit)
    _refuse_compressed(path, content)
    separator = separator_of(path)
    if not content.strip():
        raise InputError(path, "an empty file", "a header and at least one row")
    try:
        with quiet_panics():
            frame = pl.read_csv(
                content,
                separator=separator,
                quote_char=None if is_atomic(path) else '"',
                infer_schema=False,
            )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        refuse_lone_return(path, content)
        blank_rows(path, content)  # names the line, if one row is at fault
        refuse_stray_quote(path, content)
        with foreign_errors(path, "a complete text file"):
            raise error
    _check_header(path, frame.columns, content)
    if not is_atomic(path) and b'"' in content:
        frame = frame.rename(lambda name: name.replace('""', '"'))  # polars keeps both marks in names
        if _TEXT_AFTER_QUOTE.search(content):
            blank_rows(path, content)  # parses strictly, and refuses the record with its line
        if separator == "\t" and any(_line_breaks(frame)):
            refuse_record_of_two_lines(path, content)
    # A short row and a blank line both read as a null in the last column: only then is a closer look due.
    if frame.height and frame[:, -1].null_count():
        blank = blank_rows(path, content)
        if blank:
            frame = frame.filter(~pl.int_range(pl.len()).is_in(blank))
    return frame


def _check_header(path: Path, columns: list[str], content: bytes) -> None:
    where = f"{path}, line 1"
    if any("\ufffd" in name for name in columns):
        decode(path, content)  # names the byte
    if any("\r" in name for name in columns):
        raise InputError(where, "a carriage return alone", LINE_ENDS)
    if any("\n" in name for name in columns):
        raise InputError(where, "a quotation mark that is not closed on the line", "a header on one line")
    twice = [name for name in columns if f"{name}_duplicated_0" in columns]
    if twice:
        raise InputError(where, f"column {twice[0]!r} twice", "each column once")
    if len(columns) == 1:
        for other, name in SEPARATOR_NAMES.items():
            if other in columns[0]:
                expected = f"{SEPARATOR_NAMES[separator_of(path)]} in such a file"
                raise InputError(where, f"fields separated by {name}", expected)
