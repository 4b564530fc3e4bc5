"""Interactions and features to operators; knows matrices, no ids."""

from prismrec.graph.interaction import BipartiteGraph, Normalisation, mean_over_items
from prismrec.graph.knn import NeighbourGraph, NeighbourSearch, knn_graph
from prismrec.graph.sparse import SparseMatrix, sampled_product

__all__ = [
    "BipartiteGraph",
    "NeighbourGraph",
    "NeighbourSearch",
    "Normalisation",
    "SparseMatrix",
    "knn_graph",
    "mean_over_items",
    "sampled_product",
]
