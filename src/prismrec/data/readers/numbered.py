"""What layouts with row numbers for ids share: features whose row i belongs to item number i."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from prismrec.data import check
from prismrec.data.readers.boundary import entries
from prismrec.data.readers.npy import checked, open_npy
from prismrec.data.readers.raw import RawData, ReadOptions, require_printable_name
from prismrec.errors import InputError

FEATURES_HINT = "features are read from MODALITY_feat.npy"
_SUFFIX = "_feat.npy"


def feature_paths(folder: Path) -> list[Path]:
    """The `MODALITY_feat.npy` of a folder.

    Raises:
        InputError: the folder cannot be read.
    """
    return [path for path in entries(folder) if path.name.endswith(_SUFFIX) and path.name != _SUFFIX]


def with_features(
    raw: RawData, folder: Path, files: Sequence[Path], place: Callable[[int], str], options: ReadOptions
) -> RawData:
    """Read the features, and turn row numbers into ids.

    U is the highest user number + 1. I is the number of feature rows, or without features the highest item number + 1.

    Args:
        raw: its pairs have `user` and `item` as Int64.
        folder: the folder of the source, for messages.
        files: the feature files.
        place: names the file and line of a pair, by its row in `raw.pairs`.
        options: which modalities to read.

    Raises:
        InputError: bad features, unequal numbers of rows, or an item number beyond them.
    """
    paths = {path.name.removesuffix(_SUFFIX): path for path in files}
    for name, path in paths.items():
        require_printable_name(path, name)
    wanted = check.modality_names(options.modalities, paths, folder)
    limits = {name: options.memory_limit if name in wanted else None for name in paths}
    arrays = {name: open_npy(path, limits[name]) for name, path in paths.items()}
    num_users = int(raw.pairs["user"].to_numpy().max()) + 1
    num_items = int(raw.pairs["item"].to_numpy().max()) + 1
    if arrays:
        first = next(iter(arrays))
        num_items = len(arrays[first])
        for name, values in arrays.items():
            check.feature_rows(paths[name], len(values), num_items, f"row of {paths[first].name}")
        if options.unknown_items == "drop":
            raw = _drop_items_beyond(raw, num_items, paths[first])
        else:
            _refuse_items_beyond(raw.pairs["item"], num_items, paths[first], place)
    users = pl.int_range(num_users, eager=True).cast(pl.String)
    items = pl.int_range(num_items, eager=True).cast(pl.String)
    return replace(
        raw,
        pairs=raw.pairs.with_columns(pl.col("user", "item").cast(pl.String)),
        users=users,
        items=items,
        features={name: checked(arrays[name], paths[name], items) for name in wanted},
    )


def _drop_items_beyond(raw: RawData, rows: int, path: Path) -> RawData:
    known = raw.pairs["item"] < rows
    dropped = int((~known).sum())
    if not dropped:
        return raw
    if not known.any():
        raise InputError(path, "no row for an item with interactions", "the items of the interactions")
    note = f"{dropped:,} interactions with items beyond the rows of {path.name} were left out"
    return replace(raw, pairs=raw.pairs.filter(known), notes=(*raw.notes, note))


def _refuse_items_beyond(items: pl.Series, rows: int, path: Path, place: Callable[[int], str]) -> None:
    beyond = items >= rows
    if beyond.any():
        row = beyond.arg_max() or 0
        raise InputError(
            place(row),
            f"item number {items[row]}",
            f"at most {rows - 1}: row i of {path.name} belongs to item i, and it has {rows:,} rows "
            "(unknown_items='drop', --unknown-items drop, leaves such interactions out)",
        )
