"""Downloads a file: resumes after a lost connection, checks the file, and puts it in place when it is complete."""

import hashlib
import http.client
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from prismrec.data.sources.contract import Download
from prismrec.data.sources.web import CUTS, CutError, RangeError, open_url
from prismrec.errors import InputError, ParameterError, parse_json
from prismrec.files import read_text, require_space, write_text

Progress = Callable[[str, int, int | None], None]
"""Gets the name of a file, the bytes that are there, and the bytes of the whole file if they are known."""
_CHUNK = 2**20
_ATTEMPTS = 5
"""Attempts in a row that bring no new byte."""
_MAGIC = {".gz": b"\x1f\x8b", ".zip": b"PK"}


@dataclass(frozen=True)
class Fetched:
    """A file that was downloaded.

    Attributes:
        url: where it came from.
        size: bytes.
        sha256: its checksum.
        etag: the version that the server stated, if it did.
        modified: when it was changed last, as the server stated it.
    """

    url: str
    size: int
    sha256: str
    etag: str | None = None
    modified: str | None = None


@dataclass(frozen=True)
class _Version:
    """The file, and its version, to which the bytes on the disk belong."""

    url: str
    etag: str | None
    modified: str | None

    @property
    def validator(self) -> str | None:
        """What a server compares before it continues a file; a weak ETag does not promise equal bytes."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


class _RestartError(Exception):
    """The bytes on the disk are not the beginning of the file that the server has now."""


def download(
    item: Download,
    folder: Path,
    *,
    mirror: str | None = None,
    progress: Progress | None = None,
    wait: float = 1.0,
) -> Fetched:
    """Download a file into a folder, through the proxy that the environment names.

    Bytes of an earlier attempt are continued if the server still has the same version of the file. Until the file is
    complete and checked, it is called `NAME.part`.

    Args:
        item: the file.
        folder: an existing folder.
        mirror: the address of a folder that has the file under the same name; None is the publisher.
        progress: is called after each block.
        wait: seconds before the second attempt; they double from attempt to attempt.

    Raises:
        InputError: the server refuses, the connection is cut again and again, the disk is full, or the file is not the
            expected one.
        ParameterError: an impossible mirror.
    """
    url = _address(item, mirror)
    part = folder / f"{item.name}.part"
    state = folder / f"{item.name}.part.json"
    furthest = _size(part)
    failures = 0
    while True:
        try:
            found = _continue(item, url, part, state, progress)
            break
        except _RestartError as error:
            part.unlink(missing_ok=True)
            reason = str(error)
        except CutError as error:
            reason = str(error)
        failures = 0 if _size(part) > furthest else failures + 1
        furthest = max(furthest, _size(part))
        if failures >= _ATTEMPTS:
            raise InputError(url, f"{reason}, {failures} times", "a connection that lasts; try again to continue")
        time.sleep(wait * 2**failures)
    fetched = _check(item, found, part, state)
    os.replace(part, folder / item.name)  # noqa: PTH105
    state.unlink(missing_ok=True)
    return fetched


def _address(item: Download, mirror: str | None) -> str:
    url = item.url if mirror is None else f"{mirror.rstrip('/')}/{quote(item.name)}"
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise ParameterError("mirror", repr(mirror), "an address that begins with http:// or https://")
    return url


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _continue(item: Download, url: str, part: Path, state: Path, progress: Progress | None) -> _Version:
    """Get the bytes that are missing, in one request."""
    known = _known_version(state, url)
    offset = _size(part) if known is not None else 0
    headers: dict[str, str] = {}
    if offset and known is not None:
        if known.validator is not None:
            headers |= {"Range": f"bytes={offset}-", "If-Range": known.validator}
        elif item.checksum is not None:  # the checksum would tell that the file changed
            headers["Range"] = f"bytes={offset}-"
        else:
            offset = 0
    try:
        response = open_url(url, headers)
    except RangeError as error:
        if error.size == offset and known is not None:
            return known  # an earlier attempt got all bytes
        raise _RestartError("no more bytes than are there already") from None
    with response:
        return _save(item, url, response, part, state, offset, known, progress)


def _save(
    item: Download,
    url: str,
    response: http.client.HTTPResponse,
    part: Path,
    state: Path,
    offset: int,
    known: _Version | None,
    progress: Progress | None,
) -> _Version:
    """Write what a server sends: the rest of a file, or all of it if the server does not continue files."""
    total: int | None
    if response.status == http.client.PARTIAL_CONTENT:
        total = _total_of_range(response.headers, offset)
    else:
        offset = 0
        length = response.headers.get("Content-Length")
        total = int(length) if length and length.isdigit() else None
    found = _Version(url, response.headers.get("ETag"), response.headers.get("Last-Modified"))
    if offset and known is not None and known.validator != found.validator:
        raise _RestartError("another version of the file")
    if item.size is not None and total not in (None, item.size):
        raise InputError(url, f"{total:,} bytes", f"{item.size:,} bytes; the publisher's file may have changed")
    require_space(part.parent, (total or 0) - offset)
    write_text(state, json.dumps(asdict(found)))
    _write(response, part, offset, total, lambda done: progress and progress(item.name, done, total))
    return found


def _known_version(state: Path, url: str) -> _Version | None:
    """The version of the bytes on the disk; None if it is unknown or of another file."""
    try:
        known = _Version(**parse_json(read_text(state)))
    except (OSError, ValueError, TypeError):
        return None
    return known if known.url == url else None


def _total_of_range(headers: http.client.HTTPMessage, offset: int) -> int | None:
    """The size of the whole file.

    Raises:
        _RestartError: the server sends another range than the one that was asked for.
    """
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
    if match is None or int(match[1]) != offset:
        raise _RestartError("another range than was asked for")
    return None if match[2] == "*" else int(match[2])


def _write(
    response: http.client.HTTPResponse, part: Path, offset: int, total: int | None, report: Callable[[int], object]
) -> None:
    done = offset
    try:
        with part.open("r+b" if offset else "wb") as file:
            file.truncate(offset)
            file.seek(offset)
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                report(done)
            file.flush()
            os.fsync(file.fileno())
    except CUTS as error:
        raise CutError(f"a cut after {done:,} bytes ({error or type(error).__name__})") from None
    except OSError as error:
        raise InputError(part, error.strerror or str(error), "a file that can be written") from error
    if total is not None and done < total:
        raise CutError(f"a cut after {done:,} of {total:,} bytes")


def _check(item: Download, found: _Version, part: Path, state: Path) -> Fetched:
    """Compare a complete file with what is documented. A wrong one is removed.

    Raises:
        InputError: another checksum, or no archive where there should be one.
    """
    kind, _, expected = (item.checksum or "").partition(":")
    sums = checksums(part, *({"sha256", kind} - {""}))
    with part.open("rb") as file:
        magic = file.read(4)
    wrong = None
    if expected and sums[kind] != expected:
        wrong = (
            f"{kind} {sums[kind]}",
            f"{kind} {expected}; the file was removed: get it again, or from a mirror (--from)",
        )
    elif not magic.startswith(_MAGIC.get(Path(item.name).suffix, b"")):
        wrong = f"content that begins with {magic!r}", f"a {Path(item.name).suffix} file; it was removed"
    size = _size(part)
    if wrong is not None:
        part.unlink()
        state.unlink(missing_ok=True)
        raise InputError(found.url, *wrong)
    return Fetched(found.url, size, sums["sha256"], found.etag, found.modified)


def checksums(path: Path, *kinds: str) -> dict[str, str]:
    """Checksums of a file in hexadecimal digits, by kind: `md5`, `sha256`."""
    digests = {kind: hashlib.new(kind, usedforsecurity=False) for kind in kinds}
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            for digest in digests.values():
                digest.update(chunk)
    return {kind: digest.hexdigest() for kind, digest in digests.items()}
