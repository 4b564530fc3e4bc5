"""Files that are named by item id."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import polars as pl

from prismrec.data.readers.boundary import entries
from prismrec.provenance import ENDINGS, Encoding

_NUMBERED = re.compile(r"(.+)[_-]\d+")
_COLUMN = "image"


def files_by_id(ids: Iterable[str], folder: Path, endings: Collection[str]) -> tuple[dict[str, list[Path]], list[Path]]:
    """The files `ID.jpg`, `ID_1.jpg`, `ID_2.jpg` and `ID/any.jpg` of each item, and the files that belong to none.

    Args:
        ids: the item ids.
        folder: where the files are.
        endings: such as `.jpg`, in lower case.
    """
    known = set(ids)
    of_item: dict[str, list[Path]] = defaultdict(list)
    unmatched: list[Path] = []
    for path in entries(folder):
        if path.is_dir():
            inside = [file for file in entries(path) if file.suffix.lower() in endings]
            found = [(path.name, file) for file in inside]
        elif path.suffix.lower() in endings:
            found = [(_id_of(path.stem, known), path)]
        else:
            continue
        for identifier, file in found:
            if identifier in known:
                of_item[identifier].append(file)
            else:
                unmatched.append(file)
    return of_item, unmatched


def _id_of(stem: str, known: set[str]) -> str:
    """The item of a file `ID` or `ID_3`."""
    numbered = _NUMBERED.fullmatch(stem)
    return stem if stem in known or numbered is None else numbered[1]


def with_pictures(catalog: pl.DataFrame, folder: Path, encodings: Mapping[str, Encoding]) -> pl.DataFrame:
    """The item table with a column `image` that names the first picture of each item.

    Only if the pictures that were encoded are named by item id and the table has no such column. A run then knows the
    pictures of its items.

    Args:
        catalog: the item table, with the column `item_id`.
        folder: of the source; paths are relative to it.
        encodings: how the features were made.
    """
    places = [each.manifest.folder for each in encodings.values() if each.manifest.content == "image"]
    if _COLUMN in catalog.columns or not places or not places[0] or not (folder / places[0]).is_dir():
        return catalog
    files, _ = files_by_id(catalog["item_id"], folder / places[0], ENDINGS["image"])
    paths = [
        files[identifier][0].relative_to(folder).as_posix() if identifier in files else None
        for identifier in catalog["item_id"]
    ]
    return catalog.with_columns(pl.Series(_COLUMN, paths, dtype=pl.String))
