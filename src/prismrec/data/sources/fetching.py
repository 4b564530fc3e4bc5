"""Downloads the files of a public data set and unpacks its archives."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from prismrec.data.readers.boundary import foreign_errors
from prismrec.data.sources.contract import Download, Source
from prismrec.data.sources.download import Progress, checksums, download
from prismrec.data.sources.registry import find_source
from prismrec.data.sources.unpack import ENDINGS, move_in, unpack
from prismrec.errors import InputError, ParameterError, parse_json
from prismrec.files import file_lock, read_text, write_text
from prismrec.temporary import private_folder, remove_temporary_files

RECORD = "fetch.json"
"""What was downloaded when and from where, in the folder with the files."""
_LOCK = ".prismrec-fetch.lock"


def fetch(
    source: str,
    folder: Path | str,
    *,
    mirror: str | None = None,
    progress: Progress | None = None,
    wait: float = 1.0,
) -> tuple[Path, ...]:
    """Download the files of a public data set. Files that are there already are checked and kept.

    Args:
        source: its name, if needed with its part: `ml-1m`, `amazon-2014:Baby`.
        folder: where the files go; it is created if it is missing.
        mirror: the address of a folder that has the files under the same names; None is the publisher.
        progress: gets the name of a file, the bytes that are there, and the bytes of the whole file if they are known.
        wait: seconds before the second attempt after a cut; they double from attempt to attempt.

    Returns:
        The downloaded files. Archives are unpacked beside them.

    Raises:
        InputError: the source must be downloaded by hand; the server refuses; a file is not the documented one; the
            disk is full; another process downloads into the folder.
        ParameterError: an unknown source or part.
    """
    items = _downloads(*find_source(source))
    folder = Path(folder)
    with foreign_errors(folder, "a folder that can be written", ()):
        folder.mkdir(parents=True, exist_ok=True)
        with file_lock(folder / _LOCK, folder):
            remove_temporary_files(folder)
            return tuple([_fetch_one(item, folder, mirror, progress, wait) for item in items])


def _downloads(source: Source, part: str | None) -> tuple[Download, ...]:
    if source.by_hand:
        raise InputError(source.name, "a source that you must download by hand", source.by_hand)
    if source.parts and part is None:
        choice = f"a part, such as {source.name}:{source.parts[0]} (prismrec data sources {source.name} lists them)"
        raise ParameterError("source", repr(source.name), choice)
    return source.downloads(part)


def _fetch_one(item: Download, folder: Path, mirror: str | None, progress: Progress | None, wait: float) -> Path:
    path = folder / item.name
    record = _record(folder)
    entry = record.get(item.name)
    if path.exists():
        _check_present(path, item, entry)
    if not path.exists() or entry is None:
        fetched = None
        if not path.exists():
            fetched = download(item, folder, mirror=mirror, progress=progress, wait=wait)
        entry = (
            asdict(fetched) if fetched else {"url": item.url, "size": path.stat().st_size, **checksums(path, "sha256")}
        )
        entry["date"] = datetime.now(UTC).isoformat(timespec="seconds")
        _write_record(folder, {**record, item.name: entry})
    if item.name.endswith(ENDINGS) and not _is_unpacked(folder, entry):
        with private_folder(path) as temporary:
            names = unpack(path, temporary)
            move_in(temporary, folder)
        entry["unpacked"] = {name: (folder / name).stat().st_size for name in names}
        _write_record(folder, {**_record(folder), item.name: entry})
    return path


def _check_present(path: Path, item: Download, entry: dict[str, object] | None) -> None:
    """Check a file that is there already.

    Raises:
        InputError: it is not the documented one, or not the one that was downloaded.
    """
    kind, _, expected = (item.checksum or "").partition(":")
    if not expected and entry is not None:
        kind, expected = "sha256", str(entry.get("sha256", ""))
    if expected:
        found = checksums(path, kind)[kind]
        if found != expected:
            raise InputError(path, f"{kind} {found}", f"{kind} {expected}; remove the file to download it again")


def _is_unpacked(folder: Path, entry: dict[str, object]) -> bool:
    unpacked = entry.get("unpacked")
    if not isinstance(unpacked, dict):
        return False
    return all((folder / name).is_file() and (folder / name).stat().st_size == size for name, size in unpacked.items())


def _record(folder: Path) -> dict[str, dict[str, object]]:
    try:
        content = parse_json(read_text(folder / RECORD))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_record(folder: Path, record: dict[str, dict[str, object]]) -> None:
    write_text(folder / RECORD, json.dumps(record, indent=2) + "\n")
