"""Interactions and features to sparse operators."""

from prismrec.graph.content import content_graph, explaining_factors
from prismrec.graph.dropout import keep_edges, keep_nodes
from prismrec.graph.interaction import BipartiteGraph, Normalisation
from prismrec.graph.knn import NeighbourGraph, NeighbourSearch, knn_graph

__all__ = [
    "BipartiteGraph",
    "NeighbourGraph",
    "NeighbourSearch",
    "Normalisation",
    "content_graph",
    "explaining_factors",
    "keep_edges",
    "keep_nodes",
    "knn_graph",
]
