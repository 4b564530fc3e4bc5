"""Interactions and features to operators; knows matrices, no ids."""

from prismrec.graph.interaction import BipartiteGraph, Normalisation, mean_over_items
from prismrec.graph.sparse import SparseMatrix, sampled_product

__all__ = ["BipartiteGraph", "Normalisation", "SparseMatrix", "mean_over_items", "sampled_product"]
