"""The MMRec layout: `NAME.inter` with row numbers for ids, and `MODALITY_feat.npy` beside it."""

from pathlib import Path

from prismrec.data.readers.columns import interactions, require_column
from prismrec.data.readers.numbered import with_features
from prismrec.data.readers.raw import RawData, ReadOptions
from prismrec.data.readers.tabular import read_table


def read(path: Path, options: ReadOptions) -> RawData:
    """Read `NAME.inter` (tab separated; userID, itemID, x_label) and the features in its folder.

    Raises:
        InputError: for anything that is not as described.
    """
    table = read_table(path, options.memory_limit)
    pairs, notes = interactions(table, options.columns, numbered=True)
    item = require_column(table, "item", options.columns.item)
    raw = RawData(name=path.stem, path=path, pairs=pairs, notes=tuple(notes))
    return with_features(raw, path.parent, lambda row: table.place(row, item), options)
