"""What arrives after training: new items with features and catalog rows, and new clicks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from prismrec.data import check
from prismrec.data.ids import number_ids, positions
from prismrec.data.readers.boundary import LIBRARY_ERRORS, foreign_errors, is_folder
from prismrec.data.readers.encodings import encodings_of
from prismrec.data.readers.features import notes_of, read_features, sources_in
from prismrec.data.readers.interactions import read_interactions
from prismrec.data.readers.item_files import with_pictures
from prismrec.data.readers.raw import ColumnNames, RawFeatures, ReadOptions, SourceFiles
from prismrec.data.readers.table import candidates, id_table
from prismrec.data.readers.tabular import Table, read_table
from prismrec.errors import InputError
from prismrec.provenance import Encoding
from prismrec.types import FloatArray, Vocabulary


@dataclass(frozen=True, eq=False)
class NewItems:
    """Items to add to a run.

    Attributes:
        source: the folder, for messages.
        items: their ids.
        features: modality → float32 `[n, F_m]`; a row of NaN for an item that lacks the modality.
        catalog: `item_id`, then the columns of the item table; row i describes item i. None without an item table.
        notes: what was counted and left out while reading.
        encodings: modality → how `prismrec features` made it; modalities of other origin are absent.
    """

    source: Path
    items: Vocabulary
    features: Mapping[str, FloatArray]
    catalog: pl.DataFrame | None
    notes: tuple[str, ...]
    encodings: Mapping[str, Encoding] = field(default_factory=dict)


def load_items(folder: Path | str, *, columns: ColumnNames | None = None) -> NewItems:
    """Read new items: `items.csv`, `.tsv` or `.parquet`, and `features/MODALITY`, as in the tabular layout.

    Without an item table, the new items are the items with features in every modality.

    Args:
        folder: the folder.
        columns: names of columns, if they are not the usual ones.

    Raises:
        InputError: the folder has neither items nor features, or a file in it cannot be used.
    """
    folder = Path(folder)
    options = ReadOptions(columns=ColumnNames() if columns is None else columns)
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


def load_clicks(file: Path | str, *, columns: ColumnNames | None = None) -> pl.DataFrame:
    """Read a table of clicks: the distinct pairs of a user id and an item id, in columns `user` and `item`.

    Args:
        file: `.csv`, `.tsv` or `.parquet`.
        columns: names of columns, if they are not the usual ones.

    Raises:
        InputError: the file cannot be used.
    """
    path = Path(file)
    files = SourceFiles(path.stem, path.parent, ((None, path),))
    options = ReadOptions(columns=ColumnNames() if columns is None else columns, split_by="user")
    with foreign_errors(path, "a table that can be read", LIBRARY_ERRORS):
        return read_interactions(files, options).pairs.select("user", "item").unique(maintain_order=True)


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
