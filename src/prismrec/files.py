"""Writing of files and folders, so that a reader finds them complete or not at all."""

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from filelock import FileLock, Timeout
from polars.exceptions import PolarsError
from safetensors import SafetensorError

from prismrec.errors import InputError
from prismrec.temporary import PREFIX, flush, flush_folder, flush_tree, private_folder

_LOCK = f"{PREFIX}lock"
_VOLUME = "lost+found"
"""A folder in the root of a new volume, which counts as empty."""
_WRITE_ERRORS = (OSError, SafetensorError, PolarsError)
"""What the writers of this package raise, for example if the disk is full."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file to write to, which replaces `path` when the block succeeds.

    The temporary file is in a new private folder beside `path`, so that no other program can put a link in its place.
    It is flushed to disk, gets the permissions of the umask, and is renamed. After an exception `path` is as it was and
    the temporary file is gone.

    Raises:
        InputError: the file cannot be written, for example because its folder is missing or the disk is full, or `path`
            is a folder, a device or a pipe.
    """
    require_replaceable(path)
    try:
        with private_folder(path) as folder:
            temporary = folder / "file"
            temporary.touch(exist_ok=False)
            mode = temporary.stat().st_mode
            yield temporary
            temporary.chmod(mode)
            flush(temporary)
            temporary.replace(path)
            flush_folder(path.parent)
    except _WRITE_ERRORS as error:
        raise InputError(path, _reason(error), "a file that can be written") from error


def require_regular(path: Path) -> None:
    """Refuse a pipe, on which reading would wait, and a device, whose content may never end.

    Raises:
        OSError: no regular file.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))


def read_text(path: Path) -> str:
    """The text of a regular file (UTF-8).

    Raises:
        OSError: no regular file, or it may not be read.
        UnicodeDecodeError: another encoding.
    """
    require_regular(path)
    return path.read_text(encoding="utf-8")


def write_text(path: Path, text: str) -> None:
    """Replace the text of a file (UTF-8).

    Raises:
        InputError: the file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder to write to, which becomes `path` when the block succeeds.

    After an exception nothing is at `path`. If there is an empty folder, which may be a mount point, it stays and the
    contents are moved into it at the end.

    Raises:
        InputError: something other than an empty folder is at `path`, another process writes to it, or the folder
            cannot be written.
    """
    try:
        _refuse_dangling(path)
        path = Path(os.path.realpath(path))
        is_there = os.path.lexists(path)
        _require_empty(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with private_folder(path / "folder" if is_there else path) as folder:
            temporary = folder / "folder"
            temporary.mkdir()
            if not is_there:
                yield temporary
                flush_tree(temporary)
                temporary.replace(path)
                flush_folder(path.parent)
                return
            with file_lock(path / _LOCK, path):
                yield temporary
                flush_tree(temporary)
                _require_empty(path)
                for each in sorted(temporary.iterdir()):
                    each.replace(path / each.name)
                flush_folder(path)
    except _WRITE_ERRORS as error:
        raise InputError(path, _reason(error), "a folder that can be written") from error


def write_texts(folder: Path, texts: Mapping[str, str]) -> None:
    """Replace the texts of several files of a folder (UTF-8). No file is replaced unless all can be written.

    Waits for a process that replaces files of the folder.

    Raises:
        InputError: a file cannot be written, or another process takes longer than a minute.
    """
    try:
        with private_folder(folder / "folder") as temporary, file_lock(folder / _LOCK, folder, wait=60):
            for name, text in texts.items():
                (temporary / name).write_text(text, encoding="utf-8")
                flush(temporary / name)
            for name in texts:
                (temporary / name).replace(folder / name)
            flush_folder(folder)
    except _WRITE_ERRORS as error:
        raise InputError(folder, _reason(error), "a folder that can be written") from error


@contextmanager
def file_lock(path: Path, place: Path, *, wait: float = 0) -> Iterator[None]:
    """Hold a lock inside the block. The system releases it if the process dies; its file is removed at the end.

    Args:
        path: the file of the lock.
        place: what the lock protects, for the message.
        wait: the longest time to wait for another process, in seconds.

    Raises:
        InputError: another process holds the lock, or its file cannot be written.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        raise InputError(place, "another process that writes to it", "one process at a time") from None
    except OSError as error:
        raise InputError(place, _reason(error), "a folder that can be written") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before the release, so that it is not the file of the next process
        lock.release()


def names_in(folder: Path) -> set[str]:
    """The names in a folder, except `lost+found` of a new volume and temporary names of killed processes.

    Raises:
        OSError: the folder cannot be read.
    """
    names = os.listdir(folder)  # noqa: PTH208
    return {name for name in names if name != _VOLUME and not name.startswith(PREFIX)}


def place(source: Path, target: Path) -> None:
    """Replace `target` by a hard link to a file, or by a copy if the file system has no hard links.

    Raises:
        InputError: the file cannot be read or written.
    """
    try:
        with private_folder(target) as folder:
            temporary = folder / "file"
            try:
                os.link(source, temporary)
            except OSError:
                shutil.copyfile(source, temporary)
                flush(temporary)
            temporary.replace(target)
            flush_folder(target.parent)
    except OSError as error:
        raise InputError(target, _reason(error), "a file that can be written") from error


def make_folder(path: Path) -> None:
    """Create a folder if it is missing.

    Raises:
        InputError: the folder cannot be created.
    """
    try:
        path.mkdir(exist_ok=True)
        flush_folder(path.parent)
    except OSError as error:
        raise InputError(path, _reason(error), "a folder that can be written") from error


def discard_folder(path: Path) -> None:
    """Remove a folder if there is one. If the process is killed, the next one that writes there removes the rest.

    Raises:
        InputError: the folder cannot be removed.
    """
    if not path.exists():
        return
    try:
        with private_folder(path) as folder:
            path.replace(folder / "folder")
            flush_folder(path.parent)
    except OSError as error:
        raise InputError(path, _reason(error), "a folder that can be removed") from error


def require_space(folder: Path, size: int) -> None:
    """Check that a disk has room.

    Args:
        folder: a folder on the disk.
        size: bytes that are to be written.

    Raises:
        InputError: less space is free.
    """
    free = shutil.disk_usage(folder).free
    if size > free:
        raise InputError(folder, f"{free:,} bytes of free disk space", f"at least {size:,} bytes")


def require_outside(folder: Path, path: Path) -> None:
    """Check that a file to write is not in a folder that other files belong to.

    Raises:
        InputError: it is.
    """
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):  # takes loops of links too
        raise InputError(path, f"a file inside {folder}", "a file outside the run directory")


def folder_exists(path: Path) -> bool:
    """Whether the path is a folder; False for a name that is too long, for which `Path.is_dir` raises an error."""
    return os.path.isdir(path)  # noqa: PTH112


def scan_stored(paths: Sequence[Path]) -> pl.LazyFrame:
    """Parquet files of prismrec as one table. Brackets and tildes in their names have no meaning."""
    return pl.scan_parquet([path.absolute() for path in paths], glob=False)


def _reason(error: Exception) -> str:
    if re.fullmatch("[0-9]+ requested and [0-9]+ written", str(error)):  # NumPy does not say why
        return "no room for all bytes"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _refuse_dangling(path: Path) -> None:
    if path.is_symlink() and not path.exists():
        raise InputError(path, "a link to a missing folder", "a new or empty folder to write to")


def _require_empty(path: Path) -> None:
    if os.path.lexists(path) and not (path.is_dir() and not names_in(path)):
        raise InputError(path, "something already there", "a new or empty folder to write to")


def require_replaceable(path: Path) -> None:
    """Refuse folders, pipes and devices: root would replace /dev/null, or the link /dev/stdout, for all programs.

    Raises:
        InputError: something other than a file is there.
    """
    try:
        os.lstat(path)  # raises a ValueError for names that no system has, such as those with a NUL
        is_other = path.exists() and not path.is_file()
        is_device = path.parent.resolve() == Path("/dev")
    except OSError:  # names that are too long, and folders that cannot be read, fail when they are written to
        is_other, is_device = False, os.path.realpath(path.parent) == "/dev"
    except ValueError as error:
        raise InputError(path, str(error), "a file that can be written") from None
    if is_other or is_device:
        raise InputError(path, "a folder, a device or a pipe", "a file that can be written")
