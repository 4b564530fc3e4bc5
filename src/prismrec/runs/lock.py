"""One process at a time writes a run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from prismrec.errors import InputError

LOCK_NAME = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run directory inside the block; the system releases it if the process dies.

    Raises:
        InputError: another process holds it, or the folder cannot be written.
    """
    lock = FileLock(folder / LOCK_NAME)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise InputError(folder, "a run that another process is writing", "another folder") from None
    except OSError as error:
        raise InputError(folder, error.strerror or str(error), "a folder that can be written") from error
    try:
        yield
    finally:
        lock.release()
        if folder.is_dir():
            (folder / LOCK_NAME).unlink(missing_ok=True)
