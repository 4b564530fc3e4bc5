"""The format of a text table, and its lines one by one: slow and exact, to name the line that is at fault."""

import csv
import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from prismrec.errors import InputError

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
SEPARATOR_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
LINE_ENDS = "line feeds (\\n or \\r\\n) at the ends of lines"


def ending(path: Path) -> str:
    """The ending of a file name in lower case, without `.gz`."""
    return Path(path.name.removesuffix(".gz")).suffix.lower()


def is_atomic(path: Path) -> bool:
    """Whether the file is one of RecBole's atomic files or MMRec's `.inter`. They have no quotation marks."""
    return ending(path) not in (".csv", ".tsv", ".parquet")


def separator_of(path: Path) -> str:
    """What separates the fields of a text table."""
    return _SEPARATORS.get(ending(path), "\t")


def decode(path: Path, content: bytes) -> str:
    """The content of a text file, without a byte order mark.

    Raises:
        InputError: a byte that is not UTF-8, with its line and offset.
    """
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


def blank_rows(path: Path, content: bytes) -> list[int]:
    """Rows (0-based, without the header) that are blank lines.

    Raises:
        InputError: a row with another number of fields than the header, with its line.
    """
    blank: list[int] = []
    width = 0
    for row, (line, fields) in enumerate(records(path, content, keep_blank=True), start=-1):
        if row == -1:
            width = len(fields)
        elif not fields:
            blank.append(row)
        elif len(fields) != width:
            raise InputError(
                f"{path}, line {line}",
                f"{len(fields)} field{'s' * (len(fields) != 1)}",
                f"{width} separated by {SEPARATOR_NAMES[separator_of(path)]}, as in the header",
            )
    return blank


def records(path: Path, content: bytes, keep_blank: bool = False) -> Iterator[tuple[int, list[str]]]:
    """The line number (from 1) and the fields of each record. It is slow and exact, for messages only."""
    atomic = is_atomic(path)
    quoting: Literal[0, 3] = csv.QUOTE_NONE if atomic else csv.QUOTE_MINIMAL
    text = io.StringIO(decode(path, content), newline="")
    with _long_fields():
        reader = csv.reader(text, delimiter=separator_of(path), quoting=quoting, strict=not atomic)
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


def refuse_record_of_two_lines(path: Path, content: bytes) -> None:
    """Refuse quotation marks in TSV that span lines: they may be letters, and would swallow the lines between them."""
    for line, fields in records(path, content):
        if any("\n" in field for field in fields):
            raise InputError(
                f"{path}, line {line}",
                "a quotation mark that closes on a later line",
                "one row on each line; for fields with line breaks, a .csv file",
            )


def refuse_lone_return(path: Path, content: bytes) -> None:
    """Refuse a carriage return without a line feed: programs disagree on whether it ends a line."""
    lone = re.search(rb"\r(?!\n)", content)
    if lone:
        line = content.count(b"\n", 0, lone.start()) + 1
        raise InputError(f"{path}, line {line}", "a carriage return alone", LINE_ENDS)


def refuse_stray_quote(path: Path, content: bytes) -> None:
    """Refuse a line with an odd number of quotation marks."""
    for number, line in enumerate(decode(path, content).split("\n"), start=1):
        if line.count('"') % 2:
            raise InputError(
                f"{path}, line {number}",
                "a quotation mark inside a field",
                'the field in quotation marks and the mark doubled: "5"" nails"',
            )


@contextmanager
def _long_fields() -> Iterator[None]:
    """Let the csv module accept fields of any length. Its limit is global, so it is restored."""
    limit = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(limit)
