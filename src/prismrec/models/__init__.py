"""The models, one paper one file, and the registry that finds them by name."""

from prismrec.models.base import ModelConfig, Recommender
from prismrec.models.registry import REGISTRY, find_model

__all__ = ["REGISTRY", "ModelConfig", "Recommender", "find_model"]
