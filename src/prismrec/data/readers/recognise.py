"""Which layout a source has, and which files of it hold the interactions."""

from collections.abc import Callable
from pathlib import Path

from prismrec.data import check
from prismrec.data.readers import lattice, table
from prismrec.data.readers.boundary import entries, exists, foreign_errors, is_folder, require_file
from prismrec.data.readers.raw import SourceFiles
from prismrec.data.readers.tabular import TABLE_ENDINGS
from prismrec.data.split import SPLIT_NAMES, TEST, TRAIN, VALID
from prismrec.errors import InputError

LOOKED_FOR = (
    "interactions.csv (.tsv, .parquet), train.csv with test.csv, NAME.inter, or 5-core/train.json; "
    "or name the file of interactions itself"
)
_SPLIT_STEMS = {"train": TRAIN, "valid": VALID, "val": VALID, "validation": VALID, "test": TEST}


def recognise(source: Path, layout: str | None) -> tuple[str, SourceFiles]:
    """The layout of a source and its files of interactions.

    Args:
        source: a folder, or the file of interactions.
        layout: the layout that the user named; None recognises it.

    Raises:
        InputError: nothing to read there, or several candidates.
    """
    folder = is_folder(source, f"a folder with {LOOKED_FOR}")
    found: dict[str, list[SourceFiles]] = {}
    for name, candidates in (_IN_FOLDER if folder else _OF_FILE).items():
        if layout in (None, name):
            found[name] = candidates(source)
    if layout is None:
        found = _by_header(found)
    present = [(name, files) for name, candidates in found.items() for files in candidates]
    if not present:
        kind = "" if layout is None else f" in the layout {layout!r}"
        what = f"no interactions{kind}" if folder else f"a file that is no interactions{kind}"
        capitals = _name_in_capitals(source) if folder else None
        if capitals is not None:
            what += f", but {capitals!r}"
        raise InputError(source, what, f"{LOOKED_FOR}; capitals matter" if capitals else LOOKED_FOR)
    layouts = list(dict.fromkeys(name for name, _ in present))
    firsts = [files.parts[0][1] for _, files in present]
    if len(layouts) > 1:
        listed = check.listed(path.relative_to(source) for path in firsts)
        expected = "one, chosen with format (--format)"
        raise InputError(source, f"several layouts: {', '.join(layouts)} ({listed})", expected)
    check.only_one(firsts, source, "file of interactions")
    return present[0]


def _name_in_capitals(folder: Path) -> str | None:
    """A file that would be read if its name were in lower case."""
    stems = {"interactions", *_SPLIT_STEMS}
    for path in entries(folder):
        name = path.name.lower()
        is_table = name.partition(".")[0] in stems and name.endswith(TABLE_ENDINGS)
        if name != path.name and (is_table or name.endswith(".inter") or name in lattice.FILES):
            return path.name
    return None


def _by_header(found: dict[str, list[SourceFiles]]) -> dict[str, list[SourceFiles]]:
    """Sort `.inter` files into the layouts of MMRec and RecBole. RecBole writes a type behind each name in a header."""
    chosen = {name: candidates for name, candidates in found.items() if name not in ("mmrec", "recbole")}
    chosen |= {"mmrec": [], "recbole": []}
    for files in found["mmrec"]:
        path = files.parts[0][1]
        require_file(path, "a file of interactions")
        with foreign_errors(path, "a file of interactions"), path.open("rb") as file:
            typed = b":" in file.readline(2**16)
        chosen["recbole" if typed else "mmrec"].append(files)
    return chosen


def _tables_in(folder: Path) -> list[SourceFiles]:
    name = folder.resolve().name
    found = [SourceFiles(name, folder, ((None, path),)) for path in table.candidates(folder, "interactions")]
    parts = [(label, path) for stem, label in _SPLIT_STEMS.items() for path in table.candidates(folder, stem)]
    if {label for label, _ in parts} >= {TRAIN, TEST} or (parts and not found):
        found.append(SourceFiles(name, folder, _one_of_each(parts, folder)))
    return found


def _inter_files_in(folder: Path) -> list[SourceFiles]:
    groups: dict[str, list[tuple[int, Path]]] = {}
    found = []
    for path in entries(folder):
        if path.suffix != ".inter" or path.is_dir():
            continue
        name, _, part = path.stem.rpartition(".")
        if name and part in _SPLIT_STEMS:
            groups.setdefault(name, []).append((_SPLIT_STEMS[part], path))
        else:
            found.append(SourceFiles(path.stem, folder, ((None, path),)))
    for name, parts in groups.items():
        found.append(SourceFiles(name, folder, _one_of_each(parts, folder)))
    return found


def _one_of_each(parts: list[tuple[int, Path]], folder: Path) -> tuple[tuple[int, Path], ...]:
    """The files of a split in the order train, valid, test.

    Raises:
        InputError: two files for one of them, no training part, or nothing but it.
    """
    ordered = []
    for label, name in enumerate(SPLIT_NAMES):
        paths = [path for at, path in parts if at == label]
        if paths:
            ordered.append((label, check.only_one(paths, folder, f"file with the {name} split")))
    if len(ordered) < 2 or ordered[0][0] != TRAIN:
        raise InputError(
            folder,
            f"only {check.listed(path.name for _, path in ordered)} of a split",
            "a training file and at least one other; or name the file of interactions itself as SOURCE",
        )
    return tuple(ordered)


def _json_files_in(folder: Path) -> list[SourceFiles]:
    found = []
    for core in entries(folder):
        if core.name.endswith("-core") and core.is_dir() and exists(core / lattice.FILES[0]):
            found.append(_json_files(core, folder))
    if not found and exists(folder / lattice.FILES[0]):
        found.append(_json_files(folder, _root_of(folder)))
    return found


def _root_of(folder: Path) -> Path:
    """The folder of the source that JSON files belong to: one above a `*-core` folder, else their own."""
    whole = folder.resolve()
    if not whole.name.endswith("-core"):
        return folder
    return whole.parent if folder == Path() else folder.parent


def _json_files(folder: Path, root: Path) -> SourceFiles:
    parts = tuple((label, folder / name) for label, name in enumerate(lattice.FILES))
    return SourceFiles(root.resolve().name, root, parts)


def _table_file(path: Path) -> list[SourceFiles]:
    if not path.name.endswith(TABLE_ENDINGS):
        return []
    name = path.parent.resolve().name if path.name.startswith("interactions.") else path.name.partition(".")[0]
    return [SourceFiles(name, path.parent, ((None, path),))]


def _inter_file(path: Path) -> list[SourceFiles]:
    if path.suffix != ".inter":
        return []
    name, _, part = path.stem.rpartition(".")
    return [SourceFiles(name if name and part in _SPLIT_STEMS else path.stem, path.parent, ((None, path),))]


def _json_file(path: Path) -> list[SourceFiles]:
    if path.name != lattice.FILES[0]:
        return []
    return [_json_files(path.parent, _root_of(path.parent))]


_Candidates = dict[str, Callable[[Path], list[SourceFiles]]]
_IN_FOLDER: _Candidates = {
    "table": _tables_in,
    "mmrec": _inter_files_in,
    "recbole": _inter_files_in,
    "lattice": _json_files_in,
}
_OF_FILE: _Candidates = {
    "table": _table_file,
    "mmrec": _inter_file,
    "recbole": _inter_file,
    "lattice": _json_file,
}
