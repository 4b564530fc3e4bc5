"""Unpacks untrusted zip and tar archives: no files outside the folder, no links, no archive bombs."""

import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from prismrec.data.readers.boundary import foreign_errors
from prismrec.errors import InputError
from prismrec.files import require_space

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz")
_MOST_MEMBERS = 1_000_000
_MOST_BYTES = 2**40
_RATIO = 200
"""Text in gzip shrinks to about a tenth; an archive that unpacks to more than 200 times its size is refused."""
_SMALL = 2**24
"""The ratio says nothing about archives that unpack to less than this, in bytes."""
_EXPECTED = "a complete zip or tar archive; get it again"
_CHUNK = 2**20
_LINK = 0o120000


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    open: Callable[[], IO[bytes] | None]


def unpack(archive: Path, folder: Path) -> list[str]:
    """Unpack an archive into a folder.

    If not all members are in one folder of the archive, they are unpacked into a folder with the name of the archive.

    Args:
        archive: a zip or tar file.
        folder: an empty folder.

    Returns:
        The paths of the unpacked files in the folder.

    Raises:
        InputError: a damaged archive; a member that leads out of the folder, a link or a device, or two members with
            one name; more bytes than an honest archive of this size unpacks to, or than the disk has room for.
    """
    with ExitStack() as stack, foreign_errors(archive, _EXPECTED):
        members = list(_members(archive, stack))
        _check(archive, members)
        require_space(folder, sum(member.size for member in members))
        tops = {PurePosixPath(member.name).parts[0] for member in members}
        flat = len(tops) != 1 or any(len(PurePosixPath(member.name).parts) == 1 for member in members)
        root = folder / re.sub(r"(\.tar)?\.[a-z]+$", "", archive.name) if flat else folder
        return [_write(archive, member, root).relative_to(folder).as_posix() for member in members]


def _members(archive: Path, stack: ExitStack) -> Iterator[_Member]:
    if zipfile.is_zipfile(archive):
        zipped = stack.enter_context(zipfile.ZipFile(archive))
        for info in zipped.infolist():
            if (info.external_attr >> 16) & 0o170000 == _LINK:
                raise InputError(archive, f"a link {info.filename!r}", "an archive with files and folders only")
            if not info.is_dir():
                yield _Member(info.filename, info.file_size, lambda info=info: zipped.open(info))  # type: ignore[misc]
        return
    tarred = stack.enter_context(tarfile.open(archive))  # noqa: SIM115
    for member in tarred:
        if not (member.isfile() or member.isdir()):
            raise InputError(archive, f"{member.name!r}, a link or a device", "an archive with files and folders only")
        if member.isfile():
            yield _Member(member.name, member.size, lambda member=member: tarred.extractfile(member))  # type: ignore[misc]


def _check(archive: Path, members: list[_Member]) -> None:
    """Refuse an archive before anything is written."""
    seen: set[str] = set()
    for member in members:
        path = PurePosixPath(member.name)
        odd = "\\" in member.name or "\0" in member.name or ":" in member.name
        if odd or path.is_absolute() or not path.parts or ".." in path.parts:
            raise InputError(archive, f"a member {member.name!r}", "members whose paths stay inside the folder")
        folded = str(path).casefold()
        if folded in seen:
            raise InputError(archive, f"two members {str(path)!r}", "members with different names")
        seen.add(folded)
    total = sum(member.size for member in members)
    limit = min(_MOST_BYTES, max(_SMALL, _RATIO * archive.stat().st_size))
    if not members:
        raise InputError(archive, "no file", _EXPECTED)
    if len(members) > _MOST_MEMBERS:
        raise InputError(archive, f"{len(members):,} members", f"at most {_MOST_MEMBERS:,}")
    if total > limit:
        raise InputError(archive, f"{total:,} bytes when unpacked", f"at most {limit:,} for an archive of this size")


def _write(archive: Path, member: _Member, root: Path) -> Path:
    path = root.joinpath(*PurePosixPath(member.name).parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    left = member.size
    source = member.open()
    if source is None:
        raise InputError(archive, f"an unreadable member {member.name!r}", _EXPECTED)
    with source, path.open("xb") as target:
        while chunk := source.read(_CHUNK):
            left -= len(chunk)
            if left < 0:
                raise InputError(archive, f"more bytes of {member.name!r} than it declares", _EXPECTED)
            target.write(chunk)
    if left:
        raise InputError(archive, f"{left:,} bytes of {member.name!r} missing", _EXPECTED)
    return path


def move_in(unpacked: Path, folder: Path) -> None:
    """Move unpacked files into a folder, in place of those with the same names."""
    for path in sorted(unpacked.rglob("*")):
        if path.is_file():
            target = folder / path.relative_to(unpacked)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)
