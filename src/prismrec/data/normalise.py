"""Features on a common scale: rows of length 1, or columns with mean 0 and variance 1."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from prismrec.records import Normalisation
from prismrec.types import BoolArray, FloatArray

_ROWS_AT_ONCE = 8192
_CONSTANT = 1e-6
"""Ratio of deviation and mean up to which a column counts as constant."""


class ColumnStatistics(NamedTuple):
    """What brings columns to mean 0 and variance 1: (x - shift) · scale."""

    shift: FloatArray  # [F]
    scale: FloatArray  # [F]; 0 for constant columns


def column_statistics(blocks: Callable[[], Iterator[FloatArray]]) -> ColumnStatistics:
    """The statistics of rows that come in blocks `[n, F]`, at least one row.

    Args:
        blocks: called for an iteration over all rows.
    """
    first = next(blocks())[0].astype(np.float64)  # sums of differences from it lose fewer digits
    total = np.zeros(len(first))
    squares = np.zeros(len(first))
    count = 0
    for block in blocks():
        centred = block.astype(np.float64) - first
        total += centred.sum(axis=0)
        squares += (centred**2).sum(axis=0)
        count += len(block)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    is_constant = deviation <= np.abs(first + mean) * _CONSTANT
    scale = np.where(is_constant, 0, 1 / np.where(is_constant, 1, deviation))
    return ColumnStatistics((first + mean).astype(np.float32), scale.astype(np.float32))


def divide_by_length(rows: FloatArray) -> FloatArray:
    """Rows of length 1 `[n, F]`; rows of zeros stay."""
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return (rows / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)


def normalise(features: FloatArray, present: BoolArray, method: Normalisation) -> FloatArray:
    """Features `[I, F]` on a common scale.

    Args:
        features: one modality.
        present: False for filled rows, `[I]`. These become the mean of the other rows, unless they are zeros.
        method: "rows" divides each row by its length. "standardise" gives each column mean 0 and variance 1. "none"
            returns the features.
    """
    if method == "none":
        return features
    known = np.flatnonzero(present)
    blocks = [known[start : start + _ROWS_AT_ONCE] for start in range(0, len(known), _ROWS_AT_ONCE)]
    result = np.zeros_like(features)
    if method == "standardise":
        shift, scale = column_statistics(lambda: (features[block] for block in blocks))
        for block in blocks:
            result[block] = (features[block] - shift) * scale
        return result  # the mean is 0
    for block in blocks:
        result[block] = divide_by_length(features[block])
    filled = ~present & features.any(axis=1)
    if filled.any():
        result[filled] = result[known].mean(axis=0, dtype=np.float64)
    return result
