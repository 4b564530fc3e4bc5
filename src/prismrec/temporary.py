"""Temporary folders beside what is written, and writing to the disk itself."""

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = ".prismrec-"
"""The beginning of the names of temporary folders and locks."""
_STALE_SECONDS = 60
_MOST_FLUSHED = 1000
"""Above this number of files, the whole system is flushed instead."""


def require_utf8(path: Path) -> None:
    """Refuse a path that is not UTF-8: polars and safetensors cannot write or read there.

    Raises:
        OSError: it is not.
    """
    try:
        os.fspath(path.absolute()).encode()
    except UnicodeEncodeError:
        raise OSError(errno.EILSEQ, "a path that is not UTF-8", str(path)) from None


@contextmanager
def private_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, on the same file system, so that its contents can be renamed to `path`.

    The path is absolute, because polars expands a "~" at the beginning of a relative path. The folder is locked while
    it is in use. Unlocked temporary folders beside it, left by killed processes, are removed first.

    Raises:
        OSError: the folder cannot be made, or the path is not UTF-8.
    """
    require_utf8(path)
    remove_stale(path.parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=path.parent.absolute()))
    descriptor = _lock_folder(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def remove_stale(folder: Path) -> None:
    """Remove the temporary folders of killed processes."""
    oldest = time.time() - _STALE_SECONDS  # a younger one may belong to a process that is about to lock it
    with suppress(OSError), os.scandir(folder.absolute()) as entries:
        found = [entry for entry in entries if entry.name.startswith(PREFIX) and entry.is_dir(follow_symlinks=False)]
        for entry in found:
            if entry.stat(follow_symlinks=False).st_mtime < oldest:
                descriptor = _lock_folder(Path(entry.path))
                if descriptor is not None:
                    shutil.rmtree(entry.path, ignore_errors=True)
                    os.close(descriptor)


def _lock_folder(folder: Path) -> int | None:
    """An open file that locks a folder; None if another process holds the lock, or the system cannot lock folders."""
    if not hasattr(os, "O_DIRECTORY"):
        return None
    import fcntl

    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def flush_tree(folder: Path) -> None:
    """Flush the files and folders below a folder, and the folder itself."""
    paths = sorted(folder.rglob("*"))
    files = [path for path in paths if path.is_file()]
    if len(files) > _MOST_FLUSHED:
        os.sync()
        return
    for path in files:
        flush(path)
    for path in (*[path for path in paths if path.is_dir()], folder):
        flush_folder(path)


def flush(path: Path) -> None:
    """Write a file to the disk itself."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Make a rename in this folder durable. Systems that cannot open folders skip this."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_temporary_files(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder."""
    for path in folder.glob(f"{PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)
