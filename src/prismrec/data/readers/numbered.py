"""What the layouts with row numbers for ids share: features whose row i belongs to item number i."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl

from prismrec.data import check
from prismrec.data.readers.arrays import checked, open_npy
from prismrec.data.readers.raw import RawData, ReadOptions
from prismrec.errors import InputError

_SUFFIX = "_feat.npy"


def with_features(raw: RawData, folder: Path, place: Callable[[int], str], options: ReadOptions) -> RawData:
    """Add the `MODALITY_feat.npy` of a folder, and turn row numbers into ids.

    U is the highest user number + 1; I the number of feature rows, or the highest item number + 1 without any.

    Args:
        raw: its pairs have `user` and `item` as Int64.
        folder: where the features are.
        place: names file and line of an item number, by its row in `raw.pairs`.
        options: which modalities.

    Raises:
        InputError: bad features, unequal rows, or an item number beyond them.
    """
    paths = {path.name.removesuffix(_SUFFIX): path for path in sorted(folder.glob(f"*{_SUFFIX}"))}
    arrays = {name: open_npy(path, options.memory_limit) for name, path in paths.items()}
    wanted = check.modality_names(options.modalities, paths, folder)
    num_users, num_items = (int(raw.pairs[side].to_numpy().max()) + 1 for side in ("user", "item"))
    if arrays:
        first = next(iter(arrays))
        for name, values in arrays.items():
            check.feature_rows(paths[name], len(values), len(arrays[first]), f"row of {paths[first].name}")
        beyond = raw.pairs["item"] >= len(arrays[first])
        if beyond.any():
            row = beyond.arg_max() or 0
            raise InputError(
                place(row),
                f"item number {raw.pairs['item'][row]}",
                f"at most {len(arrays[first]) - 1}: row i of {paths[first].name} belongs to item i, "
                f"and it has {len(arrays[first]):,} rows",
            )
        num_items = len(arrays[first])
    users, items = (pl.int_range(count, eager=True).cast(pl.String) for count in (num_users, num_items))
    return replace(
        raw,
        pairs=raw.pairs.with_columns(pl.col("user", "item").cast(pl.String)),
        users=users,
        items=items,
        features={name: checked(arrays[name], paths[name], items) for name in wanted},
    )
