"""A text file, plain or gzip, in blocks of whole lines; in constant memory."""

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from prismrec.data.readers.boundary import foreign_errors, require_file
from prismrec.errors import InputError

_GZIP_MAGIC = b"\x1f\x8b"
_BLOCK = 2**25
"""Bytes of text that are parsed at once."""
_LONGEST_LINE = 2**26


class Block(NamedTuple):
    """Whole lines of a file, and the number of the first one, from 1."""

    text: bytes
    line: int


def blocks(path: Path, size: int = _BLOCK) -> Iterator[Block]:
    """The content of a file, unzipped, in blocks of whole lines.

    Raises:
        InputError: not a file, not readable, damaged gzip data, or a line of more than 64 MiB.
    """
    require_file(path)
    line = 1
    rest = b""
    with foreign_errors(path, "a file that can be read", (gzip.BadGzipFile,)), path.open("rb") as raw:
        packed = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        file = gzip.GzipFile(fileobj=raw) if packed else raw
        while chunk := _read(path, file, size):
            whole, end, tail = chunk.rpartition(b"\n")
            text = rest + whole + end
            rest = tail if end else rest + tail
            if len(rest) > _LONGEST_LINE:
                raise InputError(f"{path}, line {line}", f"more than {_LONGEST_LINE:,} bytes", "one record per line")
            if end:
                yield Block(text, line)
                line += text.count(b"\n")
        if rest:
            yield Block(rest, line)
        elif line == 1:
            raise InputError(path, "an empty file", "at least one record")


def _read(path: Path, file: io.BufferedReader | gzip.GzipFile, size: int) -> bytes:
    try:
        return file.read(size)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(path, f"a broken gzip file ({error})", "a complete gzip file; get it again") from None
