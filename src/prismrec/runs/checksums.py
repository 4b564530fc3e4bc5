"""Checksums of the files of a run, which reveal damaged files and files of other runs."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from prismrec.errors import InputError

_BLOCK = 1 << 20
"""Bytes read at once; also the length of each of the two ends of a file that `Checksum.ends` covers."""


class Checksum(BaseModel):
    """Size and hashes of a file."""

    model_config = ConfigDict(frozen=True)

    size: int
    """Bytes."""
    ends: str
    """SHA-256 of the first and the last megabyte."""
    sha256: str
    """SHA-256 of the whole file."""


def checksum(path: Path) -> Checksum:
    """The checksum of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return Checksum(size=path.stat().st_size, ends=_hash_ends(path), sha256=digest.hexdigest())


def check_files(folder: Path, checksums: Mapping[str, Checksum], *, whole: bool = False) -> None:
    """Check the files of a run. By default this checks sizes and ends, which takes milliseconds for files of any size.

    Args:
        folder: the run directory.
        checksums: by file name.
        whole: whether to read whole files.

    Raises:
        InputError: a file is missing or differs.
    """
    for name, expected in checksums.items():
        path = folder / name
        if not path.is_file():
            raise InputError(path, "no file", "the file that the run wrote")
        same = path.stat().st_size == expected.size and _hash_ends(path) == expected.ends
        if not same or (whole and checksum(path) != expected):
            raise InputError(path, "other contents", "the file that the run wrote: copy the whole run again")


def _hash_ends(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(_BLOCK))
        if size > _BLOCK:
            file.seek(max(_BLOCK, size - _BLOCK))
            digest.update(file.read(_BLOCK))
    return digest.hexdigest()
