"""Reads the files of a run. Each error of the system or of a library becomes an `InputError` that names the file."""

from pathlib import Path
from typing import Any

import polars as pl
from safetensors.torch import load_file
from torch import Tensor

from prismrec.data.readers.boundary import foreign_errors, require_file
from prismrec.data.readers.parquet import read_parquet
from prismrec.errors import parse_json

_EXPECTED = "the file that the run wrote"


def read_text(path: Path) -> str:
    """The content of a text file.

    Raises:
        InputError: no regular file, or no UTF-8.
    """
    require_file(path, _EXPECTED)
    with foreign_errors(path, _EXPECTED):
        return path.read_text(encoding="utf-8")


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        InputError: no regular file, or no JSON.
    """
    text = read_text(path)
    with foreign_errors(path, _EXPECTED):
        return parse_json(text)


def read_table(path: Path) -> pl.DataFrame:
    """The content of a Parquet file.

    Raises:
        InputError: no regular file, or damaged.
    """
    require_file(path, _EXPECTED)
    return read_parquet(path, None)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The content of a safetensors file.

    Raises:
        InputError: no regular file, or damaged.
    """
    require_file(path, _EXPECTED)
    with foreign_errors(path, _EXPECTED):
        return load_file(path)
