"""Thrift's compact protocol, in which Parquet writes its footer and the headers of its pages."""

import io
from typing import Any


class ThriftReader:
    """Decodes Thrift's compact protocol, in which Parquet writes its footer. A struct becomes field number → value.

    Source: "Thrift Compact protocol encoding", apache/thrift, doc/specs/thrift-compact-protocol.md.
    """

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._content.tell()

    def struct(self) -> dict[int, Any]:
        """The next struct.

        Raises:
            IndexError: the content ends too early.
            ValueError: an unknown type.
        """
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
