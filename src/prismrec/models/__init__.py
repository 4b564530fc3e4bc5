"""The models, one paper one file, and the registry that finds them by name."""

from prismrec.models.base import Grid, GridValue, ModelConfig, Recommender
from prismrec.models.registry import REGISTRY, find_model

__all__ = ["REGISTRY", "Grid", "GridValue", "ModelConfig", "Recommender", "find_model"]
