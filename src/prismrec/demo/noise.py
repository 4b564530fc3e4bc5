"""Noise in features, to make them less informative."""

import numpy as np

from prismrec.types import FloatArray


def add_noise(features: FloatArray, share: float, rng: np.random.Generator) -> FloatArray:
    """Mix features with Gaussian noise of the same mean square.

    Args:
        features: float32 `[I, F]`, with rows of length 1.
        share: 0 returns the features unchanged, and 1 returns noise alone.
        rng: source of the noise.

    Returns:
        float32 `[I, F]`.
    """
    deviation = features.shape[1] ** -0.5
    noise = rng.normal(0.0, deviation, features.shape)
    kept = (1.0 - share**2) ** 0.5
    mixed: FloatArray = (kept * features + share * noise).astype(np.float32)
    return mixed
