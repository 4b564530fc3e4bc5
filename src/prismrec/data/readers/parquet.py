"""Parquet files, checked before polars reads them.

A damaged count in the header of a page makes polars reserve memory for it, and the process aborts. So all counts and
sizes are compared with each other first. Source: "File format" and parquet.thrift, apache/parquet-format.
"""

import io
from pathlib import Path
from typing import IO, Any

import polars as pl

from prismrec.data import check
from prismrec.data.readers.boundary import foreign_errors, quiet_panics
from prismrec.data.readers.thrift import ThriftReader

_BYTES_OF_TYPE = {0: 1, 1: 4, 2: 8, 3: 8, 4: 4, 5: 8, 6: 16, 7: 16}
"""Bytes that a value of each physical type takes in memory; for text, its entry in an array of strings."""
_EXPECTED = "a complete Parquet file"
_KNOWN_TYPES = "a complete Parquet file with distinct columns, of types that polars reads"
_PAGE_HEADER = 2**16
"""More bytes than the header of a page takes, with its statistics."""

# Numbers of the fields in parquet.thrift: FileMetaData, RowGroup, ColumnChunk and ColumnMetaData,
_ROWS, _ROW_GROUPS = 3, 4
_CHUNKS, _GROUP_ROWS = 1, 3
_METADATA = 3
_TYPE, _VALUES, _UNPACKED, _PACKED, _DATA_OFFSET, _DICTIONARY_OFFSET = 1, 5, 6, 7, 9, 11
# and PageHeader, with the field that holds the header of data pages, dictionary pages and data pages of version 2.
_PAGE_TYPE, _PAGE_UNPACKED, _PAGE_PACKED = 1, 2, 3
_HEADER_OF_TYPE = {0: 5, 2: 7, 3: 8}
_DICTIONARY = 2
_PAGE_VALUES = 1


def read_parquet(path: Path, memory_limit: int | None) -> pl.DataFrame:
    """Read a Parquet file.

    Raises:
        InputError: the file is damaged, or takes more memory than the limit.
    """
    with foreign_errors(path, _EXPECTED), path.open("rb") as file:
        chunks = _column_chunks(file)
        check.unpacked_size(path, unpacked_size(chunks), memory_limit)
        for chunk in chunks:
            _check_pages(file, chunk)
        file.seek(0)
        with foreign_errors(path, _KNOWN_TYPES), quiet_panics():
            frame = pl.read_parquet(file)
        if memory_limit is not None:
            check.unpacked_size(path, sum(_text_size(column) for column in frame), memory_limit)
        return frame.cast({pl.Categorical: pl.String, pl.Enum: pl.String})


def _text_size(column: pl.Series) -> int:
    """Bytes of the texts of a column. A dictionary holds a repeated text once, so only its values tell the size."""
    if isinstance(column.dtype, pl.List | pl.Array):
        return _text_size(column.explode())
    if isinstance(column.dtype, pl.Struct):
        return sum(_text_size(field) for field in column.struct.unnest())
    if isinstance(column.dtype, pl.Categorical | pl.Enum):
        counts = column.value_counts(name="texts")
        return int((counts[column.name].cast(pl.String).str.len_bytes() * counts["texts"]).sum())
    if column.dtype == pl.Binary:
        return int(column.bin.size().sum())
    return int(column.str.len_bytes().cast(pl.UInt64).sum()) if column.dtype == pl.String else 0


def unpacked_size(chunks: list[dict[int, Any]]) -> int:
    """Bytes that column chunks take in memory: a repeated value is stored once, but takes memory each time."""
    return sum(max(chunk[_UNPACKED], chunk[_VALUES] * _BYTES_OF_TYPE[chunk[_TYPE]]) for chunk in chunks)


def _column_chunks(file: IO[bytes]) -> list[dict[int, Any]]:
    """The metadata of all column chunks.

    Raises:
        ValueError: the footer is damaged.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(max(size - 8, 0))
    length = int.from_bytes(file.read(4), "little")
    if file.read(4) != b"PAR1" or length > size - 8:
        raise ValueError("no Parquet footer")
    file.seek(size - 8 - length)
    footer = ThriftReader(file.read(length)).struct()
    groups = footer[_ROW_GROUPS]
    _require(sum(group[_GROUP_ROWS] for group in groups) == footer[_ROWS], "numbers of rows")
    chunks = []
    for group in groups:
        for column in group[_CHUNKS]:
            chunk = column[_METADATA]
            _require(0 <= group[_GROUP_ROWS] <= chunk[_VALUES], "numbers of rows and values")
            _require(chunk[_UNPACKED] >= 0 and 0 <= chunk[_PACKED] <= size, "sizes of columns")
            chunks.append(chunk)
    return chunks


def _check_pages(file: IO[bytes], chunk: dict[int, Any]) -> None:
    """Compare the headers of all pages of a column chunk with its metadata.

    Raises:
        ValueError: a number of values or a size that does not fit.
    """
    position = chunk.get(_DICTIONARY_OFFSET) or chunk[_DATA_OFFSET]
    end = position + chunk[_PACKED]
    values = 0
    while values < chunk[_VALUES]:
        _require(0 <= position < end, "places of pages")
        file.seek(position)
        reader = ThriftReader(file.read(min(end - position, _PAGE_HEADER)))
        page = reader.struct()
        _require(0 <= page[_PAGE_UNPACKED] <= chunk[_UNPACKED], "sizes of pages")
        _require(0 <= page[_PAGE_PACKED] <= end - position, "sizes of pages")
        position += reader.position + page[_PAGE_PACKED]
        kind = page[_PAGE_TYPE]
        if kind not in _HEADER_OF_TYPE:
            continue
        count = page[_HEADER_OF_TYPE[kind]][_PAGE_VALUES]
        if kind == _DICTIONARY:
            _require(0 <= count <= page[_PAGE_UNPACKED], "numbers of values in pages")
        else:
            values += count
            _require(count >= 0 and values <= chunk[_VALUES], "numbers of values in pages")


def _require(fits: bool, what: str) -> None:
    if not fits:
        raise ValueError(f"{what} that do not fit together")
