"""Mathematics that more than one paper uses, written once."""

from prismrec.nn.contrast import info_nce
from prismrec.nn.features import Features
from prismrec.nn.initialise import normal_table, xavier_normal_table, xavier_table
from prismrec.nn.losses import bpr, bpr_and_norms, bpr_and_squares, half_squares, mean_norms
from prismrec.nn.projection import project
from prismrec.nn.propagation import layer_mean, layer_sum, rows_of_layer_mean
from prismrec.nn.rows import merge, merge_sides, table_rows, take_rows, triplet_rows

__all__ = [
    "Features",
    "bpr",
    "bpr_and_norms",
    "bpr_and_squares",
    "half_squares",
    "info_nce",
    "layer_mean",
    "layer_sum",
    "mean_norms",
    "merge",
    "merge_sides",
    "normal_table",
    "project",
    "rows_of_layer_mean",
    "table_rows",
    "take_rows",
    "triplet_rows",
    "xavier_normal_table",
    "xavier_table",
]
