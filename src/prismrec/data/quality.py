"""What features look like (lengths of rows, spread, duplicates, constant columns) and what may be wrong with them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from prismrec.types import BoolArray, FloatArray

_ROWS_AT_ONCE = 8192
_UNEQUAL_ROWS = 10.0
"""Ratio of the longest to the median row from which a few rows dominate."""
_LITTLE_SPREAD = 0.05
"""Share of the mean square that is not the mean row, below which rows hardly differ."""
_UNEQUAL_COLUMNS = 100.0
"""Ratio of the largest to the median deviation of a column from which a few columns dominate."""
_UNEQUAL_MODALITIES = 10.0
"""Ratio of the median lengths of two modalities from which the larger one dominates."""
_LARGE = 100.0
"""Length of a row that is large for models that multiply raw features with weights."""


@dataclass(frozen=True)
class FeatureQuality:
    """Figures about the n rows of one modality that are present.

    Attributes:
        rows: n.
        shortest: length of the shortest row.
        median: median length of a row.
        longest: length of the longest row.
        spread: share of the mean square that is not the mean row: 0 if all rows are equal, 1 if their mean is 0.
        largest_column: largest deviation of a column, divided by the median one; 0 if that is 0.
        constant_columns: number of columns in which all rows are equal.
        duplicates: number of rows that occurred before.
        zero_rows: number of rows of zeros.
    """

    rows: int
    shortest: float
    median: float
    longest: float
    spread: float
    largest_column: float
    constant_columns: int
    duplicates: int
    zero_rows: int


def describe_features(values: FloatArray, present: BoolArray) -> FeatureQuality:
    """Figures about features `[I, F]`. `present` `[I]` is False for filled rows, which do not count."""
    numbers = np.flatnonzero(present)
    first = values[numbers[0]].astype(np.float64)  # sums of differences from it lose fewer digits
    total = np.zeros(values.shape[1])
    squares = np.zeros(values.shape[1])
    is_constant = np.ones(values.shape[1], dtype=np.bool_)
    lengths = np.zeros(len(numbers))
    hashes = np.zeros(len(numbers), dtype=np.uint64)
    factors = np.random.default_rng(0).integers(1, 2**63, values.shape[1], dtype=np.uint64) * 2 + 1
    for start in range(0, len(numbers), _ROWS_AT_ONCE):
        block = values[numbers[start : start + _ROWS_AT_ONCE]]
        centred = block - first
        total += centred.sum(axis=0)
        squares += (centred**2).sum(axis=0)
        is_constant &= (block == values[numbers[0]]).all(axis=0)
        lengths[start : start + len(block)] = np.linalg.norm(block.astype(np.float64), axis=1)
        bits = (block + np.float32(0)).view(np.uint32)  # adding 0 turns -0 into 0
        hashes[start : start + len(block)] = (bits * factors).sum(axis=1, dtype=np.uint64)
    mean = first + total / len(numbers)
    variances = np.maximum(squares / len(numbers) - (total / len(numbers)) ** 2, 0)
    deviations = np.sqrt(variances[~is_constant])
    middle = float(np.median(deviations)) if len(deviations) else 0.0
    mean_square = float(variances.sum() + (mean**2).sum())
    return FeatureQuality(
        rows=len(numbers),
        shortest=float(lengths.min()),
        median=float(np.median(lengths)),
        longest=float(lengths.max()),
        spread=float(variances.sum() / mean_square) if mean_square else 0.0,
        largest_column=float(deviations.max() / middle) if middle else 0.0,
        constant_columns=int(is_constant.sum()),
        duplicates=len(numbers) - len(np.unique(hashes)),
        zero_rows=int((lengths == 0).sum()),
    )


def warnings_about(qualities: Mapping[str, FeatureQuality]) -> list[str]:
    """What may be wrong with features, one sentence each, with the option of `prismrec features` that changes it."""
    found = []
    for name, quality in qualities.items():
        found += [f"{name}: {warning}" for warning in _warnings_about_one(quality)]
    lengths = {name: quality.median for name, quality in qualities.items() if quality.median > 0}
    if len(lengths) > 1:
        large = max(lengths, key=lengths.__getitem__)
        small = min(lengths, key=lengths.__getitem__)
        if lengths[large] > _UNEQUAL_MODALITIES * lengths[small]:
            ratio = lengths[large] / lengths[small]
            found.append(f"rows of {large} are {ratio:,.0f} times as long as those of {small} (--normalise rows)")
    return found


def _warnings_about_one(quality: FeatureQuality) -> list[str]:
    found = []
    if quality.zero_rows:
        found.append(f"{quality.zero_rows:,} rows of zeros; leave such items out, so that they count as missing")
    if quality.duplicates:
        found.append(f"{quality.duplicates:,} of {quality.rows:,} rows are equal to an earlier one")
    if quality.constant_columns:
        found.append(f"{quality.constant_columns:,} columns are the same for all items")
    if quality.median > _LARGE:
        found.append(f"rows have a length of {quality.median:,.4g}, which is large for many models (--normalise rows)")
    if quality.longest > _UNEQUAL_ROWS * quality.median:
        lengths = f"{quality.longest:,.4g} and {quality.median:,.4g}"
        found.append(f"the longest and the median row have lengths {lengths} (--normalise rows)")
    if quality.rows > 1 and quality.spread < _LITTLE_SPREAD:
        found.append(f"rows differ by {quality.spread:.2%} of their mean square only (--normalise standardise)")
    if quality.largest_column > _UNEQUAL_COLUMNS:
        found.append(
            f"a column varies {quality.largest_column:,.0f} times as much as the median one (--normalise standardise)"
        )
    return found
