"""The tabular layout: `interactions.csv`, and optionally `items.csv`, `users.csv` and `features/`.

Every table may be `.csv`, `.tsv` (each also `.gz`) or `.parquet`. Instead of `interactions.csv` there may be one table
for each split: `train.csv`, `valid.csv` and `test.csv`.
"""

from dataclasses import replace
from pathlib import Path

import polars as pl

from prismrec.data import check
from prismrec.data.import_record import FILE as IMPORT_FILE
from prismrec.data.import_record import read_import
from prismrec.data.readers.boundary import exists
from prismrec.data.readers.columns import id_column, require_column
from prismrec.data.readers.encodings import encodings_of, paths_beside
from prismrec.data.readers.features import notes_of, read_features, sources_in, unread
from prismrec.data.readers.interactions import InteractionTable, drop_unknown, is_unknown, read_interactions
from prismrec.data.readers.item_files import with_pictures
from prismrec.data.readers.raw import RawData, ReadOptions, SourceFiles
from prismrec.data.readers.tabular import TABLE_ENDINGS, Table, read_table
from prismrec.errors import InputError

_WHOLE = r"^-?(0|[1-9]\d{0,14})$"
_DECIMAL = r"^-?(0|[1-9]\d{0,14})(\.\d{1,15})?$"
FEATURES_HINT = "features are read from features/NAME with .npy, .npz, .parquet or .safetensors"


def candidates(folder: Path, stem: str) -> list[Path]:
    """The paths in a folder that should hold the table of this name; a reader refuses paths that are not files.

    Raises:
        InputError: the folder cannot be read.
    """
    paths = [folder / f"{stem}{ending}" for ending in TABLE_ENDINGS]
    return [path for path in paths if exists(path)]


def read(files: SourceFiles, options: ReadOptions) -> RawData:
    """Read the interactions and what lies in their folder.

    Raises:
        InputError: a file that cannot be used, or ids that a table lacks.
    """
    folder = files.folder
    interactions = read_interactions(files, options)
    items = _id_table(folder, "item", options.columns.item, options)
    users = _id_table(folder, "user", options.columns.user, options)
    interactions, notes = join(interactions, users, items, options)
    features = read_features(sources_in(folder / "features", options, items), folder, options.modalities)
    all_features = features if options.modalities is None else None
    used = _paths_used(files, items, users, folder / "features")
    imported = read_import(folder)
    if imported is not None:
        notes = [*imported.describe(), *notes]
        used.add(folder / IMPORT_FILE)
    return RawData(
        name=files.name,
        path=files.path,
        pairs=interactions.pairs,
        features=features,
        users=None if users is None else users.frame["user_id"],
        items=None if items is None else items.frame["item_id"],
        catalog=None if items is None else with_pictures(catalog_of(items), folder, encodings_of(features)),
        notes=(*notes, *notes_of(features), *unread(folder, used, FEATURES_HINT, all_features)),
        imported=imported,
    )


def join(
    interactions: InteractionTable, users: Table | None, items: Table | None, options: ReadOptions
) -> tuple[InteractionTable, list[str]]:
    """The interactions of known users and items, and the notes of all tables.

    Raises:
        InputError: a user or an item that its table lacks.
    """
    notes = list(interactions.notes)
    if users is not None:
        notes += users.notes
        _refuse_unknown(interactions, users, "user")
    if items is not None:
        notes += items.notes
        interactions = _known_items(interactions, items, options, notes)
    return interactions, notes


def _paths_used(files: SourceFiles, items: Table | None, users: Table | None, features: Path) -> set[Path]:
    used = {path for _, path in files.parts}
    used |= {table.path for table in (items, users) if table is not None}
    return used | feature_paths(features)


def feature_paths(folder: Path) -> set[Path]:
    """The feature files in a folder and their descriptions, including modalities that the user left out."""
    if not exists(folder):
        return set()
    options = ReadOptions()
    paths = {source.path for source in sources_in(folder, options, None)}
    listings = {path.with_suffix(".ids.txt") for path in paths if path.suffix == ".npy"}
    return paths.union(listings, *map(paths_beside, paths))


def _id_table(folder: Path, kind: str, name: str | None, options: ReadOptions) -> Table | None:
    """`items` or `users`, with the distinct ids first, in a column `item_id` or `user_id`; None if missing."""
    found = candidates(folder, f"{kind}s")
    if not found:
        return None
    path = check.only_one(found, folder, f"table of {kind}s")
    return id_table(read_table(path, options), kind, name)


def id_table(table: Table, kind: str, name: str | None = None) -> Table:
    """A table with distinct ids, moved to the front under the name `item_id` or `user_id`.

    Raises:
        InputError: no column of ids, an empty id, an id twice.
    """
    column = require_column(table, kind, name if name in table.frame.columns else None)
    ids = id_column(table, column, kind)
    repeated = ids.is_duplicated() & ~ids.is_first_distinct()
    if repeated.any():
        row = repeated.arg_max() or 0
        raise InputError(table.place(row, column), f"{kind} {ids[row]!r} a second time", f"each {kind} once")
    target = f"{kind}_id"
    rest = table.frame.drop(column)
    if target in rest.columns:
        raise InputError(table.header, f"columns {column!r} and {target!r}", f"one column with the {kind} ids")
    return replace(table, frame=rest.insert_column(0, ids.alias(target)))


def catalog_of(items: Table) -> pl.DataFrame:
    """The item table, in which columns of numbers in a text file are numbers.

    Ids stay text, and so do columns with a number such as `007` or `1e3`, which may be a code.
    """
    is_text = not items.in_memory and items.path.suffix.lower() != ".parquet"
    return items.frame.with_columns([as_numbers(column) for column in items.frame if is_text])


def as_numbers(column: pl.Series) -> pl.Series:
    """A column of text as numbers, if all values are numbers and none may be a code."""
    if column.dtype != pl.String or column.name == "item_id" or not column.count():
        return column
    values = column.drop_nulls()
    for pattern, dtype in ((_WHOLE, pl.Int64), (_DECIMAL, pl.Float64)):
        if values.str.contains(pattern).all():
            return column.cast(dtype)
    return column


def _known_items(
    interactions: InteractionTable, items: Table, options: ReadOptions, notes: list[str]
) -> InteractionTable:
    """The interactions with items of the item table; others are dropped or refused, as the user said."""
    if options.unknown_items == "refuse":
        _refuse_unknown(interactions, items, "item")
        return interactions
    known, count = drop_unknown(interactions, items.frame["item_id"], "item")
    dropped = len(interactions.rows) - len(known.rows)
    if dropped:
        notes.append(f"{dropped:,} interactions with {count:,} items that {items.path.name} lacks were left out")
    if known.pairs.is_empty():
        raise InputError(items.path, "none of the items that have interactions", "the items of the interactions")
    return known


def _refuse_unknown(interactions: InteractionTable, known: Table, kind: str) -> None:
    ids = interactions.pairs[kind]
    unknown = is_unknown(ids, known.frame[f"{kind}_id"])
    if unknown.any():
        row = unknown.arg_max() or 0
        way_out = ", or unknown_items='drop' (--unknown-items drop)" if kind == "item" else ""
        raise InputError(
            interactions.place(row),
            f"{kind} {ids[row]!r}, one of {ids.filter(unknown).n_unique():,} that {known.path.name} lacks",
            f"only {kind}s that {known.path.name} lists{way_out}",
        )
