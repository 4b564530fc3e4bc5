"""Writing files and folders so that a reader never finds half of one."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError
from safetensors import SafetensorError

from prismrec.errors import InputError

_PREFIX = ".prismrec-"
"""The beginning of the names of temporary folders."""
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
    _require_replaceable(path)
    try:
        with _private_folder(path) as folder:
            temporary = folder / "file"
            temporary.touch(exist_ok=False)
            mode = temporary.stat().st_mode
            yield temporary
            temporary.chmod(mode)
            _flush(temporary)
            temporary.replace(path)
            _flush_folder(path.parent)
    except _WRITE_ERRORS as error:
        raise InputError(path, _reason(error), "a file that can be written") from error


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

    After an exception nothing is at `path`.

    Raises:
        InputError: something other than an empty folder is at `path`, or the folder cannot be written.
    """
    path = path.resolve()
    try:
        is_empty_folder = path.is_dir() and not any(path.iterdir())
        if path.exists() and not is_empty_folder:
            raise InputError(path, "something already there", "a new or empty folder to write to")
        path.parent.mkdir(parents=True, exist_ok=True)
        with _private_folder(path) as folder:
            temporary = folder / "folder"
            temporary.mkdir()
            yield temporary
            temporary.replace(path)
            _flush_folder(path.parent)
    except _WRITE_ERRORS as error:
        raise InputError(path, _reason(error), "a folder that can be written") from error


def place(source: Path, target: Path) -> None:
    """Put a file at `target` too, in place of what is there: as a hard link if the file system can, else as a copy.

    Raises:
        InputError: the file cannot be read or written.
    """
    try:
        with _private_folder(target) as folder:
            temporary = folder / "file"
            try:
                os.link(source, temporary)
            except OSError:
                shutil.copyfile(source, temporary)
                _flush(temporary)
            temporary.replace(target)
            _flush_folder(target.parent)
    except OSError as error:
        raise InputError(target, _reason(error), "a file that can be written") from error


def make_folder(path: Path) -> None:
    """Create a folder if it is missing.

    Raises:
        InputError: the folder cannot be created.
    """
    try:
        path.mkdir(exist_ok=True)
        _flush_folder(path.parent)
    except OSError as error:
        raise InputError(path, _reason(error), "a folder that can be written") from error


def discard_folder(path: Path) -> None:
    """Remove a folder if there is one; if the process is killed meanwhile, `remove_temporary_files` removes the rest.

    Raises:
        InputError: the folder cannot be removed.
    """
    if not path.exists():
        return
    try:
        with _private_folder(path) as folder:
            path.replace(folder / "folder")
            _flush_folder(path.parent)
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


def remove_temporary_files(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder."""
    for path in folder.glob(f"{_PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _require_replaceable(path: Path) -> None:
    """Refuse devices: root would replace /dev/null, or the link /dev/stdout, for all programs."""
    with suppress(OSError):  # names that are too long, and folders that cannot be read, fail when they are written to
        is_other = path.exists() and not path.is_file()
        if is_other or path.parent.resolve() == Path("/dev"):
            raise InputError(path, "a folder, a device or a pipe", "a file that can be written")


@contextmanager
def _private_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, on the same file system, so that its contents can be renamed to `path`.

    Its path is absolute: polars takes a relative path that begins with "~" for one in the home folder.
    """
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=path.parent.absolute()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make a rename in this folder durable. Systems that cannot open folders skip this."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
