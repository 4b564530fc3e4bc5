"""Files and foreign libraries: every error of the system or of a library becomes an `InputError` here."""

import os
import re
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import polars as pl

from prismrec.errors import InputError

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_STDERR_LOCK = threading.Lock()


_EVERY_ERROR = (Exception, pl.exceptions.PanicException)
LIBRARY_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, UnicodeError)
"""Errors of polars and of text, which our own code does not raise by mistake."""
LARGEST_RECORD = 1 << 24
"""Largest size of an `import.json` or a manifest, in bytes. Larger files belong to other programs."""


@contextmanager
def foreign_errors(
    where: str | Path, expected: str, errors: tuple[type[BaseException], ...] = _EVERY_ERROR
) -> Iterator[None]:
    """Turn the exceptions of a block into one `InputError`.

    A library that parses untrusted bytes can fail in many ways: zipfile, zlib, NumPy's header parser, JSON's recursion
    limit, and Rust panics in polars, which are not even of type Exception.

    Args:
        where: the file, for the message.
        expected: what the file should be.
        errors: the exceptions to turn, beside errors of the system and of memory. The default, all, is for blocks that
            only call libraries.

    Raises:
        InputError: the block raised one of them.
    """
    try:
        yield
    except InputError:
        raise
    except MemoryError:
        raise InputError(where, "more data than fits into memory", "a smaller file") from None
    except OSError as error:
        raise InputError(error.filename or where, error.strerror or _first_line(error), expected) from None
    except errors as error:
        raise InputError(where, f"unreadable content ({_first_line(error)})", expected) from None


def _first_line(error: BaseException) -> str:
    text = str(error)
    panic = re.search(r'ErrString\("(.+?)(\\n|"\))', text)  # the reason inside a panic of polars
    lines = (panic[1] if panic else text).splitlines()
    return lines[0][:200] if lines else type(error).__name__


@contextmanager
def quiet_panics() -> Iterator[None]:
    """Hold back what native code writes to standard error, and drop it if the block fails.

    Rust prints a backtrace before a panic becomes an exception. If the block succeeds, its output is written as usual.
    """
    with _STDERR_LOCK, ExitStack() as stack:
        try:
            held = stack.enter_context(tempfile.TemporaryFile())
            original = os.dup(2)
        except OSError:  # there is no folder for temporary files, or no standard error
            yield
            return
        stack.callback(os.close, original)
        if sys.stderr is not None:
            sys.stderr.flush()
        os.dup2(held.fileno(), 2)
        stack.callback(os.dup2, original, 2)
        yield
        held.seek(0)
        os.write(original, held.read())


def exists(path: Path) -> bool:
    """Whether a folder has an entry of this name; a link counts even if its target is missing.

    Raises:
        InputError: the system refuses to say, for example because the name is too long.
    """
    with foreign_errors(path, "a file or folder that can be read"):
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True


def require_file(path: Path, expected: str = "a regular file") -> None:
    """Refuse everything but a regular file. Opening a named pipe would wait forever.

    Raises:
        InputError: the path is missing, a dangling link, a folder, a named pipe, a socket or a device.
    """
    kind = _kind_of(path, expected)
    if kind != "a file":
        raise InputError(path, kind, expected)


def is_folder(path: Path, expected: str) -> bool:
    """Whether the path is a folder.

    Raises:
        InputError: the path is missing, a dangling link, or a loop of links.
    """
    return _kind_of(path, expected) == "a folder"


def _kind_of(path: Path, expected: str) -> str:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        found = "a link to a missing file" if path.is_symlink() else "no such file or folder"
        raise InputError(path, found, expected) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(path, str(reason), expected) from None
    return next((name for matches, name in _KINDS if matches(mode)), "a file")


def entries(folder: Path) -> list[Path]:
    """The paths in a folder, sorted by name, without hidden ones.

    Raises:
        InputError: the path is not a folder, or it may not be read.
    """
    with foreign_errors(folder, "a folder that can be read"):
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208
    return [folder / name for name in names]


def printable(text: str) -> str:
    """The text with the bytes of a file name that are not UTF-8 as escapes, such as `caf\\xe9`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
