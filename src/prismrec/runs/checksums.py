"""Checksums of the files of a run, which reveal damaged files and files of other runs."""

import hashlib
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


def check_file(path: Path, expected: Checksum, *, whole: bool = False) -> None:
    """Check a file of a run. By default this checks size and ends, which takes milliseconds for files of any size.

    Args:
        path: the file.
        expected: its checksum when it was written.
        whole: whether to read the whole file.

    Raises:
        InputError: the file is missing, unreadable or differs.
    """
    if not path.is_file():
        raise InputError(path, "no file", "the file that the run wrote")
    try:
        same = path.stat().st_size == expected.size and _hash_ends(path) == expected.ends
        same = same and (not whole or checksum(path) == expected)
    except OSError as error:
        raise InputError(path, error.strerror or str(error), "a file that can be read") from error
    if not same:
        raise InputError(path, "other contents", "the file that the run wrote: copy the whole run again")


def _hash_ends(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(_BLOCK))
        if size > _BLOCK:
            file.seek(max(_BLOCK, size - _BLOCK))
            digest.update(file.read(_BLOCK))
    return digest.hexdigest()
