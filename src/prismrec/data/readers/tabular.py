"""Tables on disk (CSV, TSV, Parquet, atomic files), read strictly: a crooked row is refused, with its line."""

import csv
import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from prismrec.data import check
from prismrec.errors import InputError

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".inter": "\t", ".item": "\t"}
_SEPARATOR_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
_ATOMIC = (".inter", ".item")  # these layouts know no quoting: a quotation mark is a letter


@dataclass(frozen=True, eq=False)
class Table:
    """A table and where it came from; the columns of text files are all String."""

    path: Path
    frame: pl.DataFrame

    def place(self, row: int, column: str | None = None) -> str:
        """File, line (text) or row (Parquet) and column, for messages; `row` is 0-based."""
        suffix = "" if column is None else f", column {column!r}"
        if _kind(self.path) == ".parquet":
            return f"{self.path}, row {row + 1}{suffix}"
        for index, (line, _) in enumerate(_records(self.path)):
            if index == row + 1:
                return f"{self.path}, line {line}{suffix}"
        return f"{self.path}{suffix}"


def read_table(path: Path, memory_limit: int | None = None) -> Table:
    """Read a table, by its ending `.csv`, `.tsv`, `.inter`, `.item` (each also with `.gz`) or `.parquet`.

    Raises:
        InputError: missing, too large, not UTF-8, truncated, without rows, or a row with another number of
            fields than the header.
    """
    if not path.is_file():
        raise InputError(path, "no such file", "a readable file")
    check.memory(path, memory_limit)
    try:
        frame = pl.read_parquet(path) if _kind(path) == ".parquet" else _read_text(path)
    except pl.exceptions.NoDataError:
        raise InputError(path, "an empty file", "a header and at least one row") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(path, f"something unreadable ({str(error).splitlines()[0]})", "a whole file") from None
    if frame.is_empty():
        raise InputError(path, "a header without rows", "at least one row")
    return Table(path, frame)


def read_text(path: Path) -> str:
    """The content of a text file, unzipped, without a byte order mark.

    Raises:
        InputError: broken gzip, or a byte that is not UTF-8, with its line and offset.
    """
    content = _content(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise InputError(
                path, "text in UTF-16", "text in UTF-8 (convert it with iconv -f utf-16 -t utf-8)"
            ) from None
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}",
            f"byte 0x{content[error.start]:02x} at offset {error.start:,}, which is not UTF-8",
            "text in UTF-8 (convert it, for example with iconv -f latin1 -t utf-8)",
        ) from None


def _kind(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).suffix.lower()


def _read_text(path: Path) -> pl.DataFrame:
    separator = _SEPARATORS[_kind(path)]
    source: Path | bytes = _content(path) if _is_gzip(path) else path
    try:
        frame = pl.read_csv(
            source,
            separator=separator,
            quote_char=None if _kind(path) in _ATOMIC else '"',
            infer_schema=False,
        )
    except pl.exceptions.NoDataError:
        raise
    except pl.exceptions.PolarsError:
        _blank_rows(path)  # names the line, if one row is at fault
        _refuse_stray_quote(path)
        raise
    _check_header(path, frame.columns, separator)
    # A short row and a blank line both read as a null in the last column: only then is a closer look due.
    if frame.height and frame[:, -1].null_count():
        blank = _blank_rows(path)
        if blank:
            frame = frame.filter(~pl.int_range(pl.len()).is_in(blank))
    return frame


def _check_header(path: Path, columns: list[str], separator: str) -> None:
    if any("\ufffd" in name for name in columns):
        read_text(path)  # names the byte
    if any("\r" in name for name in columns):
        raise InputError(f"{path}, line 1", "lines that end in a carriage return alone", "line feeds (\\n or \\r\\n)")
    twice = [name for name in columns if f"{name}_duplicated_0" in columns]
    if twice:
        raise InputError(f"{path}, line 1", f"column {twice[0]!r} twice", "each column once")
    if len(columns) == 1:
        for other, name in _SEPARATOR_NAMES.items():
            if other in columns[0]:
                raise InputError(
                    f"{path}, line 1", f"fields separated by {name}", f"{_SEPARATOR_NAMES[separator]} in such a file"
                )


def _blank_rows(path: Path) -> list[int]:
    """Rows (0-based, without the header) that are blank lines.

    Raises:
        InputError: a row with another number of fields than the header, with its line.
    """
    blank: list[int] = []
    width = 0
    for row, (line, fields) in enumerate(_records(path, keep_blank=True), start=-1):
        if row == -1:
            width = len(fields)
        elif not fields:
            blank.append(row)
        elif len(fields) != width:
            raise InputError(
                f"{path}, line {line}",
                f"{len(fields)} field{'s' * (len(fields) != 1)}",
                f"{width} separated by {_SEPARATOR_NAMES[_SEPARATORS[_kind(path)]]}, as in the header",
            )
    return blank


def _records(path: Path, keep_blank: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Line number (from 1) and fields of each record, the slow and exact way: for messages only."""
    atomic = _kind(path) in _ATOMIC
    quoting: Literal[0, 3] = csv.QUOTE_NONE if atomic else csv.QUOTE_MINIMAL
    text = io.StringIO(read_text(path), newline="")
    with _long_fields():
        reader = csv.reader(text, delimiter=_SEPARATORS[_kind(path)], quoting=quoting, strict=not atomic)
        line = 1
        try:
            for fields in reader:
                if fields or keep_blank:
                    yield line, fields
                line = reader.line_num + 1
        except csv.Error as error:
            raise InputError(
                f"{path}, line {line}", f"a record that cannot be parsed ({error})", "closed quotation marks"
            ) from None


def _refuse_stray_quote(path: Path) -> None:
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.count('"') % 2:
            raise InputError(
                f"{path}, line {number}",
                "a quotation mark inside a field",
                'the field in quotation marks and the mark doubled: "5"" nails"',
            )


@contextmanager
def _long_fields() -> Iterator[None]:
    """Let the csv module take fields of any length; its limit is global, so it is put back."""
    limit = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(path, f"a broken gzip file ({error})", "a whole one") from None
