"""The file of a journal, opened by Optuna so that a killed process neither blocks nor damages it."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from prismrec.errors import InputError
from prismrec.files import require_regular

_NAME = "prismrec"


def open_study(path: Path, lock: FileLock) -> optuna.Study:
    """The study of a journal, or a new one.

    Args:
        path: the file.
        lock: of all processes that use the file; this process holds it now.

    Raises:
        InputError: the file cannot be read or written, or is no journal.
    """
    try:
        backend = JournalFileBackend(str(path), lock_obj=_HeldLock(path, lock))
        with quiet():
            return optuna.create_study(
                storage=JournalStorage(backend), study_name=_NAME, direction="maximize", load_if_exists=True
            )
    except OSError as error:
        raise InputError(path, error.strerror or str(error), "a file that can be written") from error
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:  # Optuna checks nothing itself
        raise InputError(path, f"{error!r}", "the journal of a search") from error


@contextmanager
def quiet() -> Iterator[None]:
    """No messages from Optuna about every trial, and none about parts of it that may change."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


class _HeldLock(JournalFileOpenLock):
    """A lock that the system releases if the process is killed; Optuna's own lock would block others for 30 seconds."""

    def __init__(self, path: Path, lock: FileLock) -> None:
        super().__init__(str(path))
        self._lock = lock

    def acquire(self) -> bool:
        """Wait for the lock."""
        self._lock.acquire()
        return True

    def release(self) -> None:
        """Let other processes have it."""
        self._lock.release()


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock of a file. The file of a process that was killed is removed."""
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    path.unlink(missing_ok=True)
    lock.release()
    return False


def drop_partial_line(path: Path) -> None:
    """Remove an incomplete last line, which a killed process left.

    Raises:
        OSError: the file cannot be read or written.
        InputError: the file ends with something that is no beginning of a line.
    """
    if not path.exists():
        return
    require_regular(path)
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        if file.read(1) in (b"", b"\n"):
            return
        file.seek(0)
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if not content[whole:].startswith(b"{"):
            raise InputError(path, "a last line that is no JSON object", "the journal of a search")
        file.truncate(whole)
