"""One reader per on-disk layout, and the choice between them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from prismrec.data import check
from prismrec.data.readers import lattice, mmrec, recbole, table
from prismrec.data.readers.raw import RawData, ReadOptions
from prismrec.errors import InputError

Reader = Callable[[Path, ReadOptions], RawData]
READERS: Mapping[str, Reader] = MappingProxyType(
    {"table": table.read, "mmrec": mmrec.read, "recbole": recbole.read, "lattice": lattice.read}
)
_LOOKED_FOR = (
    "interactions.csv (.tsv, .parquet), NAME.inter, or 5-core/train.json; or name the file of interactions itself"
)


def read_source(source: Path, name: str | None, options: ReadOptions) -> RawData:
    """Read a folder, or the file of interactions in it, in the layout that is named or recognised.

    Raises:
        InputError: nothing to read there, an unknown layout, or several candidates.
    """
    if name is not None and name not in READERS:
        raise InputError("--format", repr(name), f"one of: {', '.join(READERS)}")
    if not source.exists():
        raise InputError(source, "no such file or folder", f"a folder with {_LOOKED_FOR}")
    found = _of_file(source) if source.is_file() else _in_folder(source)
    if name is not None:
        # The two .inter layouts differ in the header only, so the user's word decides; no other pair is alike.
        if name in ("mmrec", "recbole"):
            found = {name: [path for key in ("mmrec", "recbole") for path in found.get(key, [])]}
        found = {name: found.get(name, [])}
    found = {key: paths for key, paths in found.items() if paths}
    if not found:
        kind = "" if name is None else f" in the layout {name!r}"
        what = f"a file that is no interactions{kind}" if source.is_file() else f"no interactions{kind}"
        raise InputError(source, what, _LOOKED_FOR)
    if len(found) > 1:
        files = check.listed(str(paths[0].relative_to(source)) for paths in found.values())
        raise InputError(source, f"several layouts: {', '.join(found)} ({files})", "one, chosen with --format")
    chosen, paths = next(iter(found.items()))
    path = check.only_one(paths, source, "file of interactions")
    try:
        return READERS[chosen](path, options)
    except OSError as error:
        raise InputError(error.filename or path, error.strerror or str(error), "a readable file") from None


def _in_folder(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {
        "table": table.candidates(folder, "interactions"),
        "mmrec": [],
        "recbole": [],
        "lattice": sorted(folder.glob("*-core/train.json")),
    }
    for path in sorted(folder.glob("*.inter")):
        found[_inter_layout(path)].append(path)
    if (folder / "train.json").is_file() and not any(found.values()):
        found["lattice"] = [folder / "train.json"]
    return found


def _of_file(path: Path) -> dict[str, list[Path]]:
    if path.suffix == ".inter":
        return {_inter_layout(path): [path]}
    if path.name == "train.json":
        return {"lattice": [path]}
    return {"table": [path]} if path.name.endswith(table.TABLE_ENDINGS) else {}


def _inter_layout(path: Path) -> str:
    """RecBole writes a type behind each name in the header: `user_id:token`."""
    with path.open("rb") as file:
        return "recbole" if b":" in file.readline() else "mmrec"
