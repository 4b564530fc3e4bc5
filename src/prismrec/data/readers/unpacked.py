"""The content of a file, unzipped, within the memory limit."""

import gzip
import io
import zlib
from pathlib import Path

from prismrec.data import check
from prismrec.data.readers.boundary import foreign_errors, require_file
from prismrec.errors import InputError

_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 2**20


def read_bytes(path: Path, limit: int | None) -> bytes:
    """The content of a file, unzipped if it is a gzip file.

    Args:
        path: a file.
        limit: the largest size of the content in bytes; None is no limit. Unzipping stops there.

    Raises:
        InputError: the path is not a readable file, its content is beyond the limit, or the gzip data is damaged.
    """
    require_file(path)
    with foreign_errors(path, "a file that can be read"), path.open("rb") as file:
        packed = file.read(2) == _GZIP_MAGIC
        check.unpacked_size(path, path.stat().st_size, limit)
        file.seek(0)
        return _unzip(path, file, limit) if packed else file.read()


def _unzip(path: Path, file: io.BufferedReader, limit: int | None) -> bytes:
    content = io.BytesIO()
    try:
        with gzip.GzipFile(fileobj=file) as unzipped:
            while chunk := unzipped.read(_CHUNK):
                content.write(chunk)
                check.unpacked_size(path, content.tell(), limit, "at least ")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(path, f"a broken gzip file ({error})", "a complete gzip file") from None
    return content.getvalue()
