"""Modules and losses that more than one paper uses."""

from prismrec.nn.contrast import in_batch_info_nce, view_contrast
from prismrec.nn.features import Features
from prismrec.nn.layers import AttentionFusion, FeatureLinear, HyperedgeMaps, NGCFLayer, TallLinear
from prismrec.nn.losses import bpr, bpr_and_norms, bpr_and_squares, half_squares, hinge, mean_norms, sum_of_squares
from prismrec.nn.propagation import layer_mean, layer_mean_of_items, layer_mean_of_users, layer_sum, rows_of_layer_mean
from prismrec.nn.tables import normal_table, xavier_normal_table, xavier_table

__all__ = [
    "AttentionFusion",
    "FeatureLinear",
    "Features",
    "HyperedgeMaps",
    "NGCFLayer",
    "TallLinear",
    "bpr",
    "bpr_and_norms",
    "bpr_and_squares",
    "half_squares",
    "hinge",
    "in_batch_info_nce",
    "layer_mean",
    "layer_mean_of_items",
    "layer_mean_of_users",
    "layer_sum",
    "mean_norms",
    "normal_table",
    "rows_of_layer_mean",
    "sum_of_squares",
    "view_contrast",
    "xavier_normal_table",
    "xavier_table",
]
