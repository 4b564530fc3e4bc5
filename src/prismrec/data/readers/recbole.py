"""RecBole's atomic files: `NAME.inter` and optionally `NAME.item`, with `name:type` headers, tab separated."""

from dataclasses import replace
from pathlib import Path

from prismrec.data.readers.arrays import features_with_ids
from prismrec.data.readers.columns import interactions
from prismrec.data.readers.raw import RawData, ReadOptions
from prismrec.data.readers.table import id_table
from prismrec.data.readers.tabular import Table, read_table


def read(path: Path, options: ReadOptions) -> RawData:
    """Read `NAME.inter`, `NAME.item` if it is there, and features in `features/` as in the tabular layout.

    The items of `NAME.item` describe; interactions may name others, as RecBole allows.

    Raises:
        InputError: for anything that is not as described.
    """
    table = read_table(path, options.memory_limit)
    pairs, notes = interactions(table, options.columns)
    items_path = path.with_suffix(".item")
    items: Table | None = None
    if items_path.is_file():
        read_items = read_table(items_path, options.memory_limit)
        items = id_table(read_items, "item", options.columns.item)
        items = replace(items, frame=items.frame.rename(lambda name: name.partition(":")[0]))
    return RawData(
        name=path.stem,
        path=path,
        pairs=pairs,
        features=features_with_ids(path.parent / "features", options, items),
        items=None if items is None else items.frame["item_id"],
        catalog=None if items is None else items.frame,
        notes=tuple(notes),
    )
