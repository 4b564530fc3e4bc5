"""One process at a time writes a run."""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from prismrec.errors import InputError
from prismrec.temporary import require_utf8

LOCK_NAME = ".lock"
_ATTEMPTS = 50
"""How often to try a folder that another process removes at the same moment."""
_SECONDS_TO_WAIT = 0.01


class BusyError(InputError):
    """Another process holds the lock."""


class Lock:
    """The lock that a process holds on a run directory.

    Attributes:
        folder: the run directory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / LOCK_NAME
        self._identity = _identity(self._path)

    def check(self) -> None:
        """Check that the run directory is still there.

        Raises:
            InputError: it was deleted or replaced.
        """
        if not self._is_there():
            expected = "the folder in which this process writes its run"
            raise InputError(self.folder, "a folder deleted or replaced during the training", expected)

    def remove(self) -> None:
        """Remove the file of the lock."""
        if self._is_there():
            self._path.unlink(missing_ok=True)

    def _is_there(self) -> bool:
        return self._identity is not None and _identity(self._path) == self._identity


@contextmanager
def locked(folder: Path) -> Iterator[Lock]:
    """Hold the lock of a run directory inside the block; the system releases it if the process dies.

    A missing folder is created. It is removed again if nothing was written to it.

    Raises:
        BusyError: another process holds the lock.
        InputError: the folder cannot be written.
    """
    lock, made = _acquire(folder)
    held = Lock(folder)
    try:
        yield held
    finally:
        held.remove()  # before the release, so that it is not the file of the next process
        lock.release()
        _remove_empty(made)


def _acquire(folder: Path) -> tuple[FileLock, list[Path]]:
    """The lock of a folder, and the folders that were made for it."""
    for left in reversed(range(_ATTEMPTS)):
        missing = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
        try:
            require_utf8(folder)
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / LOCK_NAME)
            lock.acquire(blocking=False)
            return lock, missing
        except Timeout:
            raise BusyError(folder, "a run that another process is writing", "another folder") from None
        except (OSError, ValueError) as error:  # a path with a NUL character is a ValueError
            _remove_empty(missing)
            removed = isinstance(error, FileNotFoundError | FileExistsError) and _is_folder_or_missing(folder)
            if not (left and removed):
                reason = getattr(error, "strerror", None) or str(error)
                raise InputError(folder, reason, "a folder that can be written") from error
            time.sleep(_SECONDS_TO_WAIT)
    raise AssertionError


def _is_folder_or_missing(folder: Path) -> bool:
    """False for a file or a link without a target, which stay until somebody removes them."""
    try:
        return stat.S_ISDIR(folder.lstat().st_mode)
    except OSError:
        return True


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another file of the same name; None without a file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _remove_empty(folders: list[Path]) -> None:
    for path in folders:
        with suppress(OSError, ValueError):
            path.rmdir()
