"""RecBole's atomic files: `NAME.inter` and optionally `NAME.item`, with `name:type` headers, tab separated."""

from dataclasses import replace
from pathlib import Path

from prismrec.data.readers.arrays import features_with_ids, unread
from prismrec.data.readers.columns import interactions
from prismrec.data.readers.raw import RawData, ReadOptions
from prismrec.data.readers.table import id_table
from prismrec.data.readers.tabular import Table, read_table
from prismrec.errors import InputError


def read(path: Path, options: ReadOptions) -> RawData:
    """Read `NAME.inter`, `NAME.item` if it is there, and features in `features/` as in the tabular layout.

    The items of `NAME.item` describe; interactions may name others, as RecBole allows.

    Raises:
        InputError: for anything that is not as described.
    """
    table = _untyped(read_table(path, options.memory_limit))
    pairs, notes = interactions(table, options.columns)
    items_path = path.with_suffix(".item")
    items: Table | None = None
    if items_path.is_file():
        items = id_table(_untyped(read_table(items_path, options.memory_limit)), "item", options.columns.item)
    return RawData(
        name=path.stem,
        path=path,
        pairs=pairs,
        features=features_with_ids(path.parent / "features", options, items),
        items=None if items is None else items.frame["item_id"],
        catalog=None if items is None else items.frame,
        notes=(*notes, *unread(path.parent)),
    )


def _untyped(table: Table) -> Table:
    """Column names without the type after the colon; every column is read as text anyway."""
    names = [name.partition(":")[0] for name in table.frame.columns]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"{table.path}, line 1", f"column {twice[0]!r} twice", "each column once")
    return replace(table, frame=table.frame.rename(dict(zip(table.frame.columns, names, strict=True))))
