"""Modules and losses that more than one paper uses.

The names below have several users. A name with one user is imported from its module.
"""

from prismrec.nn.contrast import view_contrast
from prismrec.nn.features import Features
from prismrec.nn.layers import AttentionFusion, FeatureLinear, HyperedgeMaps
from prismrec.nn.losses import bpr, bpr_and_norms, bpr_and_squares, half_squares, hinge, mean_norms, sum_of_squares
from prismrec.nn.propagation import layer_mean, layer_sum, rows_of_layer_mean
from prismrec.nn.tables import normal_table, xavier_normal_table, xavier_table

__all__ = [
    "AttentionFusion",
    "FeatureLinear",
    "Features",
    "HyperedgeMaps",
    "bpr",
    "bpr_and_norms",
    "bpr_and_squares",
    "half_squares",
    "hinge",
    "layer_mean",
    "layer_sum",
    "mean_norms",
    "normal_table",
    "rows_of_layer_mean",
    "sum_of_squares",
    "view_contrast",
    "xavier_normal_table",
    "xavier_table",
]
