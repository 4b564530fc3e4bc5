"""Files with a record per line: JSON, or Python literals, which are parsed and never executed."""

import ast
import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from polars._typing import SchemaDict

from prismrec.data.readers.boundary import LIBRARY_ERRORS, quiet_panics
from prismrec.data.sources.contract import Rows
from prismrec.data.sources.streams import Block, blocks
from prismrec.errors import InputError, parse_json

_LONGEST_LITERAL = 2**22
"""Longer Python literals are refused: parsing one takes about a hundred times its length in memory."""
Record = Mapping[str, Any]


def json_rows(path: Path, schema: SchemaDict) -> Iterator[Rows]:
    """Some fields of the records of a JSON lines file; a missing field is null.

    Records may also be Python literals, as in the older files of Amazon and Steam.

    Args:
        path: the file.
        schema: the fields, with the types of polars.

    Raises:
        InputError: a line that is no record, with its number.
    """
    first = 1
    for block in blocks(path):
        frame = _parse_fast(block, schema)
        if frame is None:
            records = [record for _, record in _records(path, block)]
            chosen = {name: [record.get(name) for record in records] for name in schema}
            frame = _frame(path, chosen, schema)
        yield Rows(frame, path, first)
        first += frame.height


def _parse_fast(block: Block, schema: SchemaDict) -> pl.DataFrame | None:
    """The records of a block of strict JSON; None if it is something else."""
    if not block.text.lstrip().startswith(b'{"'):
        return None
    try:
        with quiet_panics():
            return pl.read_ndjson(io.BytesIO(block.text), schema=schema)
    except LIBRARY_ERRORS:
        return None


def record_rows(
    path: Path, convert: Callable[[Record], Mapping[str, object] | None], schema: SchemaDict, *, size: int = 2**24
) -> Iterator[Rows]:
    """The records of a file of JSON lines or Python literals, each converted to the columns of a table.

    Args:
        path: the file.
        convert: from a record to a row; None leaves the record out.
        schema: the columns of the table.
        size: bytes that are parsed at once.

    Raises:
        InputError: a line that is no record, or whose fields have other types than documented.
    """
    first = 1
    for block in blocks(path, size):
        converted = []
        for line, record in _records(path, block):
            try:
                row = convert(record)
            except (TypeError, ValueError, AttributeError, LookupError) as error:
                expected = "a record as the data set documents it"
                raise InputError(f"{path}, line {line}", f"an unusual record ({error!r})", expected) from None
            if row is not None:
                converted.append(row)
        columns = {name: [row.get(name) for row in converted] for name in schema}
        yield Rows(_frame(path, columns, schema), path, first)
        first += len(converted)


def _frame(path: Path, columns: Mapping[str, Sequence[object]], schema: SchemaDict) -> pl.DataFrame:
    """A table of records. Halves of surrogate pairs, which Python 2 left in some texts, are joined or replaced."""
    try:
        return pl.DataFrame(columns, schema=schema, strict=False)
    except UnicodeEncodeError:
        warnings.warn(f"{path}: texts with half a surrogate pair; the halves were joined or replaced", stacklevel=2)
        whole = {name: [_whole(value) for value in values] for name, values in columns.items()}
        return pl.DataFrame(whole, schema=schema, strict=False)


def _whole(value: object) -> object:
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if isinstance(value, str) else value


def _records(path: Path, block: Block) -> Iterator[tuple[int, Record]]:
    """The records of a block with their line numbers. Blank lines are skipped."""
    for number, line in enumerate(block.text.split(b"\n"), block.line):
        if line.strip():
            yield number, _record(line, f"{path}, line {number}")


def _record(line: bytes, where: str) -> Record:
    """A record in JSON, or as a Python literal. Nothing in a literal is ever executed."""
    expected = "a record in JSON or as a Python literal; the file may be damaged or cut off"
    try:
        text = line.decode()
        if text.lstrip().startswith('{"'):
            record = parse_json(text)
        elif len(line) > _LONGEST_LITERAL:
            raise InputError(where, f"{len(line):,} bytes", f"a Python literal of at most {_LONGEST_LITERAL:,} bytes")
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of escapes that Python does not know
                record = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        raise InputError(where, f"{line[:60]!r}", expected) from None
    if not isinstance(record, dict):
        raise InputError(where, f"{line[:60]!r}", expected)
    return record


def joined(value: object, separator: str) -> str | None:
    """A text, or the texts of a list, in one text; None if there is none."""
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, Sequence):
        parts = [part for part in (joined(each, separator) for each in value) if part]
        return separator.join(parts) or None
    return str(value)
