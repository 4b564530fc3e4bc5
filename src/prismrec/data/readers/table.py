"""The tabular layout: `interactions.csv`, and optionally `items.csv`, `users.csv` and `features/`.

Every table may be `.csv`, `.tsv` (each also `.gz`) or `.parquet`.
"""

from dataclasses import replace
from pathlib import Path

import polars as pl

from prismrec.data import check
from prismrec.data.readers.arrays import features_with_ids, unread
from prismrec.data.readers.columns import id_column, interactions, require_column
from prismrec.data.readers.raw import RawData, ReadOptions
from prismrec.data.readers.tabular import Table, read_table
from prismrec.errors import InputError

TABLE_ENDINGS = (".csv", ".tsv", ".parquet", ".csv.gz", ".tsv.gz")


def candidates(folder: Path, stem: str) -> list[Path]:
    """The files of a folder that hold the table of this name."""
    return [path for ending in TABLE_ENDINGS if (path := folder / f"{stem}{ending}").is_file()]


def read(path: Path, options: ReadOptions) -> RawData:
    """Read the interactions at `path` and what lies in their folder.

    Raises:
        InputError: for anything that is not as described.
    """
    folder = path.parent
    table = read_table(path, options.memory_limit)
    pairs, notes = interactions(table, options.columns)
    items = _id_table(folder, "item", options.columns.item, options)
    users = _id_table(folder, "user", options.columns.user, options)
    for side, known in (("user", users), ("item", items)):
        if known is not None:
            _refuse_unknown(table, pairs[side], known, side)
    return RawData(
        name=folder.resolve().name if path.name.startswith("interactions.") else path.name.partition(".")[0],
        path=path,
        pairs=pairs,
        features=features_with_ids(folder / "features", options, items),
        users=None if users is None else users.frame["user_id"],
        items=None if items is None else items.frame["item_id"],
        catalog=None if items is None else items.frame,
        notes=(*notes, *unread(folder)),
    )


def _id_table(folder: Path, kind: str, name: str | None, options: ReadOptions) -> Table | None:
    """`items` or `users`, with the distinct ids first, in a column `item_id` or `user_id`; None if missing."""
    found = candidates(folder, f"{kind}s")
    if not found:
        return None
    path = check.only_one(found, folder, f"table of {kind}s")
    return id_table(read_table(path, options.memory_limit), kind, name)


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
        raise InputError(
            f"{table.path}, line 1", f"columns {column!r} and {target!r}", f"one column with the {kind} ids"
        )
    return replace(table, frame=rest.insert_column(0, ids.alias(target)))


def _refuse_unknown(table: Table, ids: pl.Series, known: Table, kind: str) -> None:
    unknown = ids.cast(pl.Enum(known.frame[f"{kind}_id"]), strict=False).is_null()
    if unknown.any():
        row = unknown.arg_max() or 0
        raise InputError(
            table.place(row),
            f"{kind} {ids[row]!r}, one of {ids.filter(unknown).n_unique():,} that {known.path.name} lacks",
            f"only {kind}s that {known.path.name} lists",
        )
