"""What arrives after training: new items with features and catalog rows, and new clicks."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from prismrec.data import check
from prismrec.data.ids import number_ids, positions
from prismrec.data.readers.boundary import LIBRARY_ERRORS, foreign_errors, is_folder
from prismrec.data.readers.columns import find_column
from prismrec.data.readers.encodings import encodings_of
from prismrec.data.readers.features import notes_of, read_features, sources_in
from prismrec.data.readers.interactions import combine_tables
from prismrec.data.readers.item_files import with_pictures
from prismrec.data.readers.raw import ColumnNames, RawFeatures, ReadOptions, parse_conditions, several
from prismrec.data.readers.table import candidates, id_table
from prismrec.data.readers.tabular import Table, read_table
from prismrec.errors import InputError
from prismrec.provenance import Encoding
from prismrec.records import DataOrigin
from prismrec.types import FloatArray, Vocabulary


@dataclass(frozen=True, eq=False)
class NewItems:
    """Items to add to a run.

    Attributes:
        source: the folder, for messages.
        items: their ids.
        features: modality → float32 `[n, F_m]`; a row of NaN for an item that lacks the modality.
        catalog: `item_id`, then the columns of the item table, of a text file as text; row i describes item i. None
            without an item table.
        notes: what was counted and left out while reading.
        encodings: modality → how `prismrec features` made it; modalities of other origin are absent.
    """

    source: Path
    items: Vocabulary
    features: Mapping[str, FloatArray]
    catalog: pl.DataFrame | None
    notes: tuple[str, ...]
    encodings: Mapping[str, Encoding] = field(default_factory=dict)


def load_items(folder: Path | str, *, columns: ColumnNames | None = None, like: DataOrigin | None = None) -> NewItems:
    """Read new items: `items.csv`, `.tsv` or `.parquet`, and `features/MODALITY`, as in the tabular layout.

    Without an item table, the new items are the items with features in every modality.

    Args:
        folder: the folder.
        columns: names of columns, if they are not the usual ones.
        like: how the data set of the run was read (`run.manifest.origin`); its name of the item column is used if
            the table has this column.

    Raises:
        InputError: the folder has neither items nor features, or a file in it cannot be used.
    """
    folder = Path(folder)
    options = _reading(like)
    if columns is not None:
        options = replace(options, columns=columns)
    with foreign_errors(folder, "a folder that can be read", LIBRARY_ERRORS):
        if not is_folder(folder, "a folder with new items"):
            raise InputError(folder, "a file", "a folder with items.csv and features/")
        table = _item_table(folder, options)
        features = read_features(sources_in(folder / "features", options, table), folder, None)
    ids = _ids(folder, table, features)
    notes = [] if table is None else list(table.notes)
    notes += notes_of(features)
    encodings = encodings_of(features)
    return NewItems(
        source=folder,
        items=Vocabulary(ids, "item"),
        features={name: _aligned(modality, ids, name, notes) for name, modality in features.items()},
        catalog=None if table is None else with_pictures(table.frame, folder, encodings),
        notes=tuple(notes),
        encodings=encodings,
    )


def load_clicks(
    file: Path | str, *, columns: ColumnNames | None = None, like: DataOrigin | None = None
) -> pl.DataFrame:
    """Read a table of clicks: the distinct pairs of a user id and an item id, in columns `user` and `item`.

    Args:
        file: `.csv`, `.tsv` or `.parquet`.
        columns: names of columns, if they are not the usual ones.
        like: how the data set of the run was read (`run.manifest.origin`). Its names of columns and its conditions on
            rows are used if the table has these columns.

    Raises:
        InputError: the file cannot be used.
    """
    return read_clicks(file, columns=columns, like=like)[0]


def read_clicks(
    file: Path | str, *, columns: ColumnNames | None = None, like: DataOrigin | None = None
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """What `load_clicks` reads, and notes on what was used and left out."""
    path = Path(file)
    with foreign_errors(path, "a table that can be read", LIBRARY_ERRORS):
        options = _reading(like)
        table = read_table(path, options)
        fitting = _fitting(table, options, ColumnNames() if columns is None else columns)
        read = combine_tables([(None, table)], path, fitting)
    dropped = [each for each in options.where if each not in fitting.where]
    notes = [f"{path.name}: no column for the condition {each.describe()} of the run" for each in dropped]
    return read.pairs.select("user", "item").unique(maintain_order=True), (*read.notes, *notes)


def _reading(origin: DataOrigin | None) -> ReadOptions:
    """The columns and the conditions with which the data set of a run was read."""
    options = {} if origin is None else origin.options
    return ReadOptions(
        columns=ColumnNames(
            user=options.get("user_column"), item=options.get("item_column"), rating=options.get("rating_column")
        ),
        split_by="user",
        ignore_columns=several("ignore_columns", options.get("ignore_column") or ()),
        where=parse_conditions(options.get("where") or (), options.get("min_rating")),
    )


def _fitting(table: Table, of_run: ReadOptions, given: ColumnNames) -> ReadOptions:
    """The given columns; where none is given, those of the run that the table has, with the conditions on them."""
    known = table.frame.columns

    def choose(given_name: str | None, name_of_run: str | None) -> str | None:
        return given_name if given_name is not None or name_of_run not in known else name_of_run

    columns = ColumnNames(
        user=choose(given.user, of_run.columns.user),
        item=choose(given.item, of_run.columns.item),
        rating=choose(given.rating, of_run.columns.rating),
    )
    where = [
        each
        for each in of_run.where
        if (find_column(table, "rating", columns.rating) if each.column is None else each.column in known)
    ]
    return replace(of_run, columns=columns, where=tuple(where))


def _item_table(folder: Path, options: ReadOptions) -> Table | None:
    found = candidates(folder, "items")
    if not found:
        return None
    path = check.only_one(found, folder, "table of items")
    return id_table(read_table(path, options), "item", options.columns.item)


def _ids(folder: Path, table: Table | None, features: Mapping[str, RawFeatures]) -> pl.Series:
    if table is not None:
        return table.frame["item_id"]
    if not features:
        raise InputError(folder, "neither items nor features", "items.csv, features/NAME, or both")
    common, *others = [modality.ids for modality in features.values()]
    for ids in others:
        common = common.filter(positions(common, ids).is_not_null())
    if not len(common):
        raise InputError(folder, "no item that all modalities have", "items with features")
    return number_ids([common])


def _aligned(modality: RawFeatures, ids: pl.Series, name: str, notes: list[str]) -> FloatArray:
    """The rows of the given items; NaN for those without."""
    places = positions(modality.ids, ids)
    known = places.is_not_null().to_numpy()
    values = np.full((len(ids), modality.values.shape[1]), np.nan, dtype=np.float32)
    values[places.drop_nulls().to_numpy()] = modality.values[known]
    lacking = len(ids) - int(known.sum())
    if lacking:
        notes.append(f"{name}: {lacking:,} of {len(ids):,} items lack it")
    surplus = len(modality.ids) - int(known.sum())
    if surplus:
        notes.append(f"{name}: {surplus:,} rows belong to no new item and were left out")
    return values
