"""Item features as retrieval uses them: rows of length 1, whose inner product is the cosine."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from prismrec.types import BoolArray, FloatArray

LARGEST_FEATURES = 2**30
"""Bytes of features up to which a run keeps them."""
_ROWS_AT_ONCE = 4096


def unit_features(features: Mapping[str, FloatArray], present: Mapping[str, BoolArray]) -> dict[str, Tensor]:
    """Each feature row divided by its length, float16 `[I, F_m]`; zero where an item lacks the modality.

    Empty if they would take more than `LARGEST_FEATURES` bytes. A cosine of float16 rows differs from the exact one by
    less than 0.001.

    Args:
        features: modality → float32 `[I, F_m]`.
        present: modality → whether an item has it, bool `[I]`.
    """
    if sum(2 * rows.size for rows in features.values()) > LARGEST_FEATURES:
        return {}
    return {modality: _unit_rows(torch.from_numpy(rows), present[modality]) for modality, rows in features.items()}


def _unit_rows(rows: Tensor, present: BoolArray) -> Tensor:
    unit = torch.empty(rows.shape, dtype=torch.float16)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        block = slice(start, start + _ROWS_AT_ONCE)
        largest = rows[block].abs().amax(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
        unit[block] = F.normalize(rows[block] / largest, dim=1).half()  # dividing first avoids overflow of the squares
    unit[~torch.from_numpy(present)] = 0
    return unit


def items_with(features: Tensor) -> BoolArray:
    """Whether each item has the modality, bool `[I]`."""
    return (features != 0).any(1).numpy()
