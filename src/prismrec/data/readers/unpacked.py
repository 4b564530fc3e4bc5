"""The content of files, unpacked, within the memory limit."""

import gzip
import io
import zlib
from pathlib import Path
from typing import Any

from prismrec.data import check
from prismrec.data.readers.boundary import foreign_errors, require_file
from prismrec.errors import InputError

_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 2**20
_BYTES_OF_TYPE = {0: 1, 1: 4, 2: 8, 3: 8, 4: 4, 5: 8, 6: 16, 7: 16}
"""Bytes that a value of each physical Parquet type takes in memory; for text, its entry in an array of strings."""


def read_bytes(path: Path, limit: int | None) -> bytes:
    """The content of a file, unzipped if it is a gzip file.

    Args:
        path: a file.
        limit: the largest size of the content in bytes; None is no limit. Unzipping stops there.

    Raises:
        InputError: the path is not a readable file, its content is beyond the limit, or the gzip data is damaged.
    """
    require_file(path)
    with foreign_errors(path, "a file that can be read"), path.open("rb") as file:
        packed = file.read(2) == _GZIP_MAGIC
        check.unpacked_size(path, path.stat().st_size, limit)
        file.seek(0)
        return _unzip(path, file, limit) if packed else file.read()


def _unzip(path: Path, file: io.BufferedReader, limit: int | None) -> bytes:
    content = io.BytesIO()
    try:
        with gzip.GzipFile(fileobj=file) as unzipped:
            while chunk := unzipped.read(_CHUNK):
                content.write(chunk)
                check.unpacked_size(path, content.tell(), limit, "at least ")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(path, f"a broken gzip file ({error})", "a complete gzip file") from None
    return content.getvalue()


def parquet_size(path: Path) -> int:
    """Bytes that a Parquet file takes in memory, from the sizes in its footer.

    Raises:
        InputError: the footer is damaged.
    """
    with foreign_errors(path, "a complete Parquet file"), path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(size - 8)
        length = int.from_bytes(file.read(4), "little")
        if file.read(4) != b"PAR1" or length > size - 8:
            raise ValueError("no Parquet footer")
        file.seek(size - 8 - length)
        footer = _ThriftReader(file.read(length)).struct()
        chunks = [column[3] for group in footer[4] for column in group[1]]
        return sum(max(chunk[6], chunk[5] * _BYTES_OF_TYPE[chunk[1]], 0) for chunk in chunks)


class _ThriftReader:
    """Decodes Thrift's compact protocol, in which Parquet writes its footer. A struct becomes field number → value.

    Source: "Thrift Compact protocol encoding", apache/thrift, doc/specs/thrift-compact-protocol.md.
    """

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def struct(self) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while header := self._byte():
            step = header >> 4
            kind = header & 15
            number = number + step if step else self._zigzag()
            fields[number] = kind == 1 if kind in (1, 2) else self._value(kind)
        return fields

    def _value(self, kind: int) -> Any:
        if kind in (1, 2, 3):
            return self._byte()
        if kind in (4, 5, 6):
            return self._zigzag()
        if kind == 7:
            return self._content.read(8)
        if kind == 8:
            return self._content.read(self._varint())
        if kind in (9, 10):
            header = self._byte()
            length = header >> 4
            if length == 15:
                length = self._varint()
            return [self._value(header & 15) for _ in range(length)]
        if kind == 12:
            return self.struct()
        raise ValueError(f"Thrift type {kind} in a Parquet footer")

    def _byte(self) -> int:
        return self._content.read(1)[0]

    def _varint(self) -> int:
        value = 0
        shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
