"""The contents to encode: the texts, pictures and sounds of the items of a folder."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from prismrec.data import check
from prismrec.data.readers.boundary import entries, is_folder
from prismrec.data.readers.columns import plain_name
from prismrec.data.readers.item_files import files_by_id
from prismrec.data.readers.raw import ColumnNames, ReadOptions
from prismrec.data.readers.table import candidates, id_table
from prismrec.data.readers.tabular import Table, read_table
from prismrec.errors import InputError, ParameterError
from prismrec.files import folder_exists
from prismrec.provenance import ENDINGS, ContentKind
from prismrec.words import count

SEPARATOR = ". "
"""Between the columns of a text."""
_ITEMS_AT_ONCE = 4096
"""Items whose contents are in memory."""
_SAMPLE = 1000
"""Cells from which the kind of a column is recognised."""
_WORDS = r"[\p{Ll}\p{Lo}]{2}|\p{L}{3,}\s+\p{L}"
"""Matches in texts, but not in ISBNs, numbers, dates and product codes."""
_ALL_ENDINGS = tuple(ending for endings in ENDINGS.values() for ending in endings)
_URL = r"^\s*(\w+://|www\.)"


@dataclass(frozen=True, eq=False)
class Contents:
    """The content of one kind of all items.

    Attributes:
        kind: what it is.
        ids: the item ids `[I]`.
        pieces: for each item its text, or its files; empty if the item has none.
        columns: the columns of the item table that it is from.
        folder: the folder with files named by item id, relative to the source; empty if columns name the files.
        notes: what was counted and left out.
    """

    kind: ContentKind
    ids: pl.Series
    pieces: Sequence[Sequence[str | Path]]
    columns: tuple[str, ...] = ()
    folder: str = ""
    notes: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Where the content is, for people."""
        if self.folder:
            return f"{self.folder}/"
        return f"column{'s' * (len(self.columns) > 1)} {check.listed(self.columns)}"


class _Pieces(Sequence[Sequence[str | Path]]):
    """The texts or files of each item, made of the cells of some columns when they are asked for."""

    def __init__(
        self, columns: list[pl.Series], make: Callable[[list[pl.Series]], Sequence[Sequence[str | Path]]]
    ) -> None:
        self._columns = columns
        self._make = make
        self._first = 0
        self._made: Sequence[Sequence[str | Path]] = ()

    def __len__(self) -> int:
        return len(self._columns[0])

    def __getitem__(self, item: Any) -> Any:
        """The pieces of one item. Those of its neighbours are kept, because items are asked for in order."""
        if not 0 <= item < len(self):
            raise IndexError(item)
        if not self._first <= item < self._first + len(self._made):
            self._first = item - item % _ITEMS_AT_ONCE
            self._made = self._make([column[self._first : self._first + _ITEMS_AT_ONCE] for column in self._columns])
        return self._made[item - self._first]


def _texts_of(columns: list[pl.Series]) -> list[list[str]]:
    """The text of each item: its cells, joined; none if all are empty."""
    parts = [_as_text(column) for column in columns]
    joined = [SEPARATOR.join(filter(None, cells)) for cells in zip(*parts, strict=True)]
    return [[text] if text else [] for text in joined]


def _files_of(folder: Path, columns: list[pl.Series]) -> list[list[Path]]:
    """The files that the cells of each item name."""
    cells = [[_paths_in(cell) for cell in column.to_list()] for column in columns]
    return [[folder / path for paths in row for path in paths] for row in zip(*cells, strict=True)]


def read_items(folder: Path, item_column: str | None = None) -> Table:
    """The item table of a folder, with the ids in column `item_id`.

    Raises:
        InputError: no item table, several, or one that cannot be used.
    """
    if not is_folder(folder, "a folder with an item table"):
        raise InputError(folder, "a file", "the folder with items.csv")
    found = candidates(folder, "items") or [path for path in entries(folder) if path.suffix == ".item"]
    if not found:
        raise InputError(folder, "no item table", "items.csv (.tsv, .parquet) with the ids of the items")
    path = check.only_one(found, folder, "table of items")
    options = ReadOptions(columns=ColumnNames(item=item_column))
    return id_table(read_table(path, options), "item", item_column)


def find_texts(items: Table, columns: Sequence[str]) -> Contents | None:
    """The texts of the items: the given columns, or all that hold words; None if there are none.

    Raises:
        ParameterError: the table lacks a column.
    """
    _require_columns("text", items, columns)
    chosen = tuple(columns) or tuple(text_columns(items.frame))
    if not chosen:
        return None
    pieces = _Pieces([items.frame[name] for name in chosen], _texts_of)
    return Contents("text", items.frame["item_id"], pieces, chosen)


def text_columns(frame: pl.DataFrame) -> list[str]:
    """Columns whose cells are mostly words: no ids, numbers, dates, files or URLs, and not the same everywhere."""
    found = []
    for name, dtype in frame.schema.items():
        if name == "item_id" or plain_name(name).endswith("id") or dtype not in (pl.String, pl.List(pl.String)):
            continue
        cells = pl.Series([cell for cell in _as_text(frame[name].drop_nulls().head(_SAMPLE)) if cell], dtype=pl.String)
        is_text = _mostly(cells, _WORDS) and not _mostly(cells, _URL) and not _names_files(cells)
        if is_text and cells.n_unique() > 2:
            found.append(name)
    return found


def find_files(kind: ContentKind, items: Table, folder: Path, given: Sequence[str]) -> Contents | None:
    """The pictures or sounds of the items, from a column of paths or a folder of files named by item id.

    Args:
        kind: "image", "audio" or "video".
        items: the item table.
        folder: of the source. Paths are relative to it.
        given: columns, or one folder; if empty, they are recognised.

    Returns:
        None if there are none.

    Raises:
        InputError: several columns or folders could hold the files.
        ParameterError: a given name is neither a column nor a folder.
    """
    if not given:
        given = _recognised(kind, items, folder)
    if not given:
        return None
    columns = [name for name in given if name in items.frame.columns]
    if len(columns) == len(given):
        pieces = _Pieces([items.frame[name] for name in columns], partial(_files_of, folder))
        return Contents(kind, items.frame["item_id"], pieces, tuple(columns))
    place = folder / given[0]
    if len(given) > 1 or not folder_exists(place):
        expected = f"columns of {items.path.name}, or one folder with files named by item id"
        raise ParameterError(kind, check.listed(given), expected)
    return _files_by_id(kind, items.frame["item_id"], place, given[0])


def _recognised(kind: ContentKind, items: Table, folder: Path) -> list[str]:
    columns = [
        name
        for name, dtype in items.frame.schema.items()
        if dtype in (pl.String, pl.List(pl.String)) and _names_files(_cells(items.frame[name]), ENDINGS[kind])
    ]
    if len(columns) > 1:
        found = f"{len(columns)} columns with files: {check.listed(columns)}"
        raise InputError(items.header, found, f"{kind}=['{columns[0]}'] (--{kind} {columns[0]}), or several")
    if columns:
        return columns
    folders = [path.name for path in entries(folder) if path.name != "features" and holds_files(path, ENDINGS[kind])]
    if len(folders) > 1:
        found = f"{len(folders)} folders with files: {check.listed(folders)}"
        raise InputError(folder, found, f"one, chosen with {kind}=['{folders[0]}'] (--{kind} {folders[0]})")
    return folders


def holds_files(folder: Path, endings: Sequence[str]) -> bool:
    """Whether a folder holds files with these endings, directly or in folders for each item."""
    if not folder.is_dir():
        return False
    inside = entries(folder)
    if any(path.suffix.lower() in endings for path in inside):
        return True
    first = next((path for path in inside if path.is_dir()), None)
    return first is not None and any(path.suffix.lower() in endings for path in entries(first))


def _files_by_id(kind: ContentKind, ids: pl.Series, folder: Path, name: str) -> Contents:
    files, unmatched = files_by_id(ids, folder, ENDINGS[kind])
    notes = _notes_on_unmatched(ids, unmatched, name) if unmatched else ()
    return Contents(kind, ids, [files.get(identifier, []) for identifier in ids], folder=name, notes=notes)


def _notes_on_unmatched(ids: pl.Series, unmatched: Sequence[Path], name: str) -> tuple[str, ...]:
    """How many files belong to no item, and whether the case of their names is the reason."""
    notes = [f"{name}: {count(len(unmatched), 'file')} without an item of that id, such as {unmatched[0].name!r}"]
    folded = set(ids.str.to_lowercase())
    other_case = [path for path in unmatched if path.stem.lower() in folded]
    if other_case:
        example = other_case[0].name
        notes.append(f"{name}: {count(len(other_case), 'name')} with the id of an item in another case: {example!r}")
    return tuple(notes)


def _require_columns(parameter: str, items: Table, columns: Sequence[str]) -> None:
    for name in columns:
        if name not in items.frame.columns:
            expected = f"columns of {items.path.name}: {check.listed(items.frame.columns)}"
            raise ParameterError(parameter, repr(name), expected)


def _as_text(column: pl.Series) -> list[str]:
    """The cells as text without blanks at the ends; the entries of a list are separated by commas."""
    if isinstance(column.dtype, pl.List):
        column = column.list.eval(pl.element().cast(pl.String)).list.join(", ", ignore_nulls=True)
    return [cell.strip() for cell in column.cast(pl.String).fill_null("")]


def _cells(column: pl.Series) -> pl.Series:
    some = column.drop_nulls().head(_SAMPLE).to_list()
    return pl.Series([path for cell in some for path in _paths_in(cell)], dtype=pl.String)


def _paths_in(cell: str | list[str] | None) -> list[str]:
    """The paths in a cell: of a list its entries, of a text the parts between bars."""
    parts = cell.split("|") if isinstance(cell, str) else cell or []
    return [part.strip() for part in parts if part and part.strip()]


def _mostly(cells: pl.Series, pattern: str) -> bool:
    return len(cells) > 0 and int(cells.str.contains(pattern).sum()) * 2 >= len(cells)


def _names_files(cells: pl.Series, endings: Sequence[str] = _ALL_ENDINGS) -> bool:
    """Whether most cells are paths of files with these endings, and no URLs."""
    pattern = rf"(?i)^[^\n]*({'|'.join(map(re.escape, endings))})\s*$"
    return _mostly(cells, pattern) and not _mostly(cells, _URL)
