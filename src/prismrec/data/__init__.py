"""From files to a `Dataset`: layouts, checks of the input, and splits."""

from prismrec.data.build import build, load
from prismrec.data.dataset import Dataset
from prismrec.data.readers.raw import ColumnNames, RawData, RawFeatures
from prismrec.data.split import SplitSpec
from prismrec.data.write import write_mmrec, write_table

__all__ = [
    "ColumnNames",
    "Dataset",
    "RawData",
    "RawFeatures",
    "SplitSpec",
    "build",
    "load",
    "write_mmrec",
    "write_table",
]
