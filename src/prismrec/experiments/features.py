"""The features of a data set as a model gets them."""

import warnings

import torch
from torch import Tensor

from prismrec.data import Dataset
from prismrec.data.normalise import normalise
from prismrec.errors import ParameterError
from prismrec.models import REGISTRY, Recommender
from prismrec.records import Settings


def features_for(model: type[Recommender], dataset: Dataset, settings: Settings) -> dict[str, Tensor]:
    """The feature matrices `[I, F_m]` by modality, in the scale and precision that the settings name.

    Rows of items that lack the modality are NaN if the model tells such items apart, else they are filled.

    Raises:
        ParameterError: the model does not support the precision.
    """
    if model.takes_features and not dataset.features:
        warnings.warn(f"{dataset.name} has no modalities: {model.name} learns from interactions alone", stacklevel=3)
    method = settings.normalise if model.takes_features else "none"
    features = {
        modality: torch.from_numpy(normalise(matrix, dataset.present[modality], method))
        for modality, matrix in dataset.features.items()
    }
    if model.accepts_missing:
        features = {modality: _marked(matrix, dataset, modality) for modality, matrix in features.items()}
    if settings.precision == "float32":
        return features
    if not model.bf16_features:
        able = ", ".join(other.name for other in REGISTRY.values() if other.bf16_features)
        found = f"bf16 for {model.name}, which has no products of constant features"
        raise ParameterError("precision", found, f"float32, or one of {able}")
    return {modality: matrix.bfloat16() for modality, matrix in features.items()}


def _marked(matrix: Tensor, dataset: Dataset, modality: str) -> Tensor:
    """The features with NaN in the rows of items that lack the modality."""
    present = dataset.present[modality]
    return matrix if present.all() else matrix.masked_fill(torch.from_numpy(~present)[:, None], torch.nan)
