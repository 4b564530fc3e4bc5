"""Downloads the pictures of an imported data set from the addresses in its item table."""

import csv
import hashlib
import io
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import polars as pl

from prismrec.data.check import listed
from prismrec.data.readers.boundary import entries, exists, foreign_errors
from prismrec.data.sources.web import CUTS, CutError, open_url
from prismrec.errors import InputError, ParameterError
from prismrec.files import file_lock, make_folder, replacing, scan_stored, write_text

Progress = Callable[[int, int], None]
"""Called with the number of pictures that were requested, and the number of all that are missing."""
_KINDS = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"RIFF": ".webp"}
_LARGEST = 2**25
_ATTEMPTS = 3
_GIVE_UP = 50
"""The download stops after this number of failures without a single picture."""
_LONGEST_NAME = 150


@dataclass(frozen=True)
class PictureCounts:
    """What became of the pictures of a data set.

    Attributes:
        present: items that had a picture before.
        downloaded: items that got one.
        failed: items whose address gave none; `images/failed.csv` says why.
        without_address: items without an address and without a picture.
    """

    present: int
    downloaded: int
    failed: int
    without_address: int


def fetch_pictures(
    folder: Path | str,
    *,
    column: str = "image_url",
    workers: int = 8,
    progress: Progress | None = None,
    wait: float = 1.0,
) -> PictureCounts:
    """Download the picture of each item to `images/`, and name it in the column `image` of the item table.

    Pictures that are there already are kept, so that a later call continues an interrupted one and asks again for those
    that failed.

    Args:
        folder: a folder that `import_source` wrote.
        column: the column with the addresses.
        workers: requests at a time.
        progress: is called after each picture.
        wait: seconds before the second attempt.

    Raises:
        InputError: no item table; the first addresses give no picture at all; a file cannot be written; another process
            downloads pictures into the folder.
        ParameterError: the item table lacks the column, or `workers` is below 1.
    """
    if workers < 1:
        raise ParameterError("workers", str(workers), "a whole number from 1 on")
    table = Path(folder) / "items.parquet"
    images = Path(folder) / "images"
    items = _item_table(table, column)
    make_folder(images)
    with file_lock(images / ".lock", images):
        return _fetch(table, items, column, images, workers, wait, progress)


def _fetch(
    table: Path, items: pl.DataFrame, column: str, images: Path, workers: int, wait: float, progress: Progress | None
) -> PictureCounts:
    there = {path.stem: path.name for path in entries(images) if path.suffix in _KINDS.values()}
    present = sum(_stem(identifier) in there for identifier in items["item_id"])
    wanted = [
        (identifier, address)
        for identifier, address in items.select("item_id", column).iter_rows()
        if address and _stem(identifier) not in there
    ]
    failures: list[Failure] = []
    for done, outcome in enumerate(_all(wanted, images, workers, wait), 1):
        if isinstance(outcome, Failure):
            failures.append(outcome)
            _give_up(failures, done)
        else:
            there[outcome.stem] = outcome.name
        if progress is not None:
            progress(done, len(wanted))
    _write_failures(images / "failed.csv", failures)
    paths = _write_paths(table, items, there)
    without = paths.null_count() - len(failures)
    return PictureCounts(present, len(wanted) - len(failures), len(failures), without)


def _item_table(path: Path, column: str) -> pl.DataFrame:
    if not exists(path):
        raise InputError(path, "no such file", "a folder that prismrec data import wrote")
    with foreign_errors(path, "an item table"):
        items = scan_stored([path]).collect()
    if column not in items.columns:
        raise ParameterError("column", repr(column), f"one of: {listed(items.columns)}")
    return items


def _write_paths(table: Path, items: pl.DataFrame, there: Mapping[str, str]) -> pl.Series:
    """Write the column `image` of an item table, null where an item has no picture, and return it."""
    names = [there.get(_stem(identifier)) for identifier in items["item_id"]]
    paths = pl.Series("image", [None if name is None else f"images/{name}" for name in names], dtype=pl.String)
    with replacing(table) as temporary:
        items.with_columns(paths).write_parquet(temporary)
    return paths


@dataclass(frozen=True)
class Failure:
    """An address that gave no picture."""

    item: str
    address: str
    reason: str


def _give_up(failures: list[Failure], done: int) -> None:
    """Stop early if the addresses are of no use."""
    if len(failures) == done == _GIVE_UP:
        last = failures[-1]
        found = f"{done} failures and no picture: {last.reason}"
        raise InputError(last.address, found, "addresses of pictures that still exist")


def _all(wanted: list[tuple[str, str]], images: Path, workers: int, wait: float) -> Iterator[Path | Failure]:
    """Download pictures, a few at a time, in the order of the list."""
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(wanted), 64 * workers):
            some = wanted[start : start + 64 * workers]
            yield from pool.map(lambda each: _one(each[0], each[1], images, wait), some)


def _one(item: str, address: str, images: Path, wait: float) -> Path | Failure:
    reason = ""
    for attempt in range(_ATTEMPTS):
        time.sleep(wait * attempt)
        try:
            return _save(_content(address), images, _stem(item))
        except InputError as error:
            return Failure(item, address, error.found)
        except CutError as error:
            reason = str(error)
    return Failure(item, address, reason)


def _content(address: str) -> bytes:
    """The bytes behind an address.

    Raises:
        InputError: no address, no picture, or a very large one.
        CutError: the connection broke.
    """
    if urlsplit(address).scheme not in ("http", "https"):
        raise InputError(address, f"the address {address[:60]!r}", "one that begins with http:// or https://")
    with open_url(address) as response:
        try:
            content = response.read(_LARGEST + 1)
        except CUTS as error:
            raise CutError(f"a cut ({error or type(error).__name__})") from None
        length = response.headers.get("Content-Length", "")
    if len(content) > _LARGEST:
        raise InputError(address, f"more than {_LARGEST:,} bytes", "a picture")
    if length.isdigit() and len(content) < int(length):
        raise CutError(f"a cut after {len(content):,} of {int(length):,} bytes")
    return content


def _save(content: bytes, images: Path, stem: str) -> Path:
    suffix = next((suffix for magic, suffix in _KINDS.items() if content.startswith(magic)), None)
    if suffix is None:
        raise InputError(stem, f"content that begins with {content[:12]!r}", "a picture")
    part = images / f".{stem}.part"
    with foreign_errors(part, "a file that can be written", ()):
        part.write_bytes(content)
        os.replace(part, images / f"{stem}{suffix}")  # noqa: PTH105
    return images / f"{stem}{suffix}"


def _stem(item: str) -> str:
    """The name of the picture of an item: its id, with the characters escaped that file names may not have."""
    name = quote(item, safe=" !#$&'()+,;=@[]^`{}~")
    name = f"%2E{name[1:]}" if name.startswith(".") else name
    return name if len(name) <= _LONGEST_NAME else hashlib.sha256(item.encode()).hexdigest()


def _write_failures(path: Path, failures: list[Failure]) -> None:
    if not failures:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["item_id", "address", "reason"])
    writer.writerows([(each.item, each.address, each.reason) for each in failures])
    write_text(path, text.getvalue())
