"""The npy format, checked against its own header, and features as valid matrices."""

import io
import math
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor

from prismrec.data import check
from prismrec.data.readers.boundary import foreign_errors, require_file
from prismrec.data.readers.raw import RawFeatures
from prismrec.errors import InputError

_EXPECTED = "a complete npy file, as numpy.save writes it from an array of numbers"


def open_npy(path: Path, memory_limit: int | None) -> npt.NDArray[Any]:
    """Map an npy file into memory and check its header. Pickled content is never loaded.

    Raises:
        InputError: not a readable npy file, pickled, shorter or longer than its header declares, too large, or not a
            matrix of real numbers.
    """
    require_file(path, _EXPECTED)
    with foreign_errors(path, _EXPECTED):
        with path.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            check.unpacked_size(path, size, memory_limit)
            file.seek(0)
            shape, dtype = read_header(file, size, path)
        check.feature_matrix(shape, dtype, path)
        mapped: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped


def read_header(file: IO[bytes], size: int, path: Path, name: str = "") -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The shape and dtype that an npy header declares.

    Args:
        file: at the start of the header.
        size: bytes of header and numbers together.
        path: the file, for messages.
        name: the array in an npz archive, for messages.

    Raises:
        InputError: not an npy header, or another number of bytes than it declares.
    """
    where = f"{path}, array {name!r}" if name else str(path)
    magic = file.read(6)
    if magic != b"\x93NUMPY":
        pickled = magic.startswith(b"\x80")
        found = "a pickle, which is never loaded" if pickled else f"a file that starts with {magic!r}"
        raise InputError(where, found, _EXPECTED)
    file.seek(-6, io.SEEK_CUR)
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    except Exception as error:  # NumPy parses the header as Python source, which can fail in many ways
        reason = str(error).partition("\n")[0]
        raise InputError(where, f"a broken npy header ({reason})", _EXPECTED) from None
    stored = size - file.tell()
    declared = math.prod(shape) * dtype.itemsize
    if stored != declared and not dtype.hasobject:
        damage = "truncated" if stored < declared else "damaged, or two files in one"
        raise InputError(
            where, f"{stored:,} bytes of numbers", f"{declared:,} for {dtype} {list(shape)}: the file is {damage}"
        )
    return shape, dtype


def checked(values: npt.NDArray[Any], path: Path, ids: pl.Series, notes: tuple[str, ...] = ()) -> RawFeatures:
    """Features as finite float32 with one distinct id for each row.

    Args:
        values: the features.
        path: the file.
        ids: the id of each row, String.
        notes: what was left out.

    Raises:
        InputError: the wrong shape, number of rows or kind of numbers, a repeated id, NaN or infinity.
    """
    check.feature_matrix(values.shape, values.dtype, path)
    check.feature_rows(path, len(values), len(ids), "id")
    check.distinct_ids(ids, path)
    # A number beyond the range of float32 becomes infinite, and check.finite refuses it.
    with foreign_errors(path, "a file that can be read"), np.errstate(over="ignore"):
        numbers = np.array(values, dtype=np.float32, order="C")
    check.finite(numbers, path, ids, values)
    return RawFeatures(path, ids, numbers, notes)


def to_array(tensor: Tensor) -> npt.NDArray[Any]:
    """A tensor as a NumPy array; floating-point types that NumPy lacks, such as bfloat16, become float32."""
    dense = tensor.detach().cpu().to_dense().resolve_neg()
    if dense.is_floating_point() and dense.dtype not in (torch.float16, torch.float64):
        dense = dense.float()
    return dense.numpy()
