"""From files and data in memory to a `Dataset`: layouts, checks of the input, and splits."""

from prismrec.data.additions import NewItems, load_clicks, load_items, read_clicks
from prismrec.data.build import build, load
from prismrec.data.dataset import Dataset
from prismrec.data.frames import dataset, from_csr
from prismrec.data.readers.raw import ColumnNames, RawData, RawFeatures
from prismrec.data.split import SplitSpec
from prismrec.data.write import write_mmrec, write_table

__all__ = [
    "ColumnNames",
    "Dataset",
    "NewItems",
    "RawData",
    "RawFeatures",
    "SplitSpec",
    "build",
    "dataset",
    "from_csr",
    "load",
    "load_clicks",
    "load_items",
    "read_clicks",
    "write_mmrec",
    "write_table",
]
