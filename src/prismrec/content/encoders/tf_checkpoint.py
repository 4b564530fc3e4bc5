"""Reads the variables of a TensorFlow checkpoint without TensorFlow.

A checkpoint is a sorted table of entries in `NAME.index`, in the format of LevelDB, and their bytes in
`NAME.data-00000-of-00001`. An entry is a protocol buffer: data type, shape, offset, size.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from prismrec.errors import InputError

_FOOTER = 48
"""Bytes at the end of the table: where the index block is, padding, and a magic number."""
_MAGIC = bytes.fromhex("57fb808b247547db")
_FLOAT = 1
"""The number of float32 among the data types."""
_DTYPE, _SHAPE, _OFFSET, _SIZE = 1, 2, 4, 5
_DIMENSION, _LENGTH = 2, 1


def read_checkpoint(index: Path, data: Path) -> dict[str, npt.NDArray[np.float32]]:
    """The float32 variables by name.

    Raises:
        InputError: no checkpoint of TensorFlow, or a compressed one.
    """
    table = index.read_bytes()
    if len(table) < _FOOTER or table[-8:] != _MAGIC:
        raise InputError(index, "no table of a TensorFlow checkpoint", "the file .index beside .data-00000-of-00001")
    values = data.read_bytes()
    footer = table[-_FOOTER:]
    _, place = _handle(footer, 0)
    (start, size), _ = _handle(footer, place)
    variables = {}
    for _, handle in _entries(_block(table, start, size, index)):
        (block_start, block_size), _ = _handle(handle, 0)
        for key, entry in _entries(_block(table, block_start, block_size, index)):
            fields = _fields(entry)
            if key and fields.get(_DTYPE, [0])[0] == _FLOAT:
                variables[key.decode()] = _variable(fields, values)
    return variables


def _variable(fields: dict[int, list[int | bytes]], values: bytes) -> npt.NDArray[np.float32]:
    shape_field = fields.get(_SHAPE, [b""])[0]
    shape = []
    for dimension in _fields(bytes(shape_field)).get(_DIMENSION, []):
        shape.append(int(_fields(bytes(dimension)).get(_LENGTH, [0])[0]))
    offset = int(fields.get(_OFFSET, [0])[0])
    size = int(fields[_SIZE][0])
    return np.frombuffer(values[offset : offset + size], dtype="<f4").reshape(shape).astype(np.float32)


def _block(table: bytes, start: int, size: int, path: Path) -> bytes:
    """The content of a block; a byte behind it says how it is compressed."""
    if table[start + size] != 0:
        raise InputError(path, "a compressed block", "a checkpoint without compression")
    return table[start : start + size]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values. A key shares its beginning with the key before; the end of the block lists restarts."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    place = 0
    key = b""
    while place < end:
        shared, place = _varint(block, place)
        unshared, place = _varint(block, place)
        length, place = _varint(block, place)
        key = key[:shared] + block[place : place + unshared]
        place += unshared
        yield key, block[place : place + length]
        place += length


def _handle(data: bytes, place: int) -> tuple[tuple[int, int], int]:
    """The start and size of a block, and the place behind them."""
    start, place = _varint(data, place)
    size, place = _varint(data, place)
    return (start, size), place


def _fields(message: bytes) -> dict[int, list[int | bytes]]:
    """The fields of a protocol buffer by number."""
    fields: dict[int, list[int | bytes]] = {}
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        value: int | bytes
        if tag & 7 == 0:
            value, place = _varint(message, place)
        else:
            length, place = (4, place) if tag & 7 == 5 else (8, place) if tag & 7 == 1 else _varint(message, place)
            value = message[place : place + length]
            place += length
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number in groups of seven bits, and the place behind it."""
    value = 0
    shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
