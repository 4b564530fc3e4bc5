"""Features `[I, F]` from pictures and texts, by old and simple means; they never see a hidden attribute."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import TruncatedSVD  # type: ignore[import-untyped]  # it ships no type information
from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]  # likewise
from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]  # likewise

from prismrec.types import FloatArray

WIDTH = 64
"""F of both modalities; a shop of fewer items has fewer columns."""

_LEVELS = 4
_CELLS = 5
_DIRECTIONS = 8


def image_features(pictures: Iterable[npt.NDArray[np.uint8]]) -> FloatArray:
    """Histograms of colours and of gradients, reduced to their main directions.

    Args:
        pictures: RGB pictures of one size, each uint8 `[S, S, 3]`.

    Returns:
        Rows of length 1, float32 `[I, F]`.
    """
    histograms = np.stack([np.concatenate([_colours(rgb), _gradients(rgb)]) for rgb in pictures])
    return _reduce(StandardScaler(with_std=False).fit_transform(np.sqrt(histograms)))


def text_features(texts: Sequence[str]) -> FloatArray:
    """TF-IDF of words and pairs of words, reduced to their main directions (latent semantic analysis).

    Returns:
        Rows of length 1, float32 `[I, F]`.
    """
    return _reduce(TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True).fit_transform(texts))


def add_noise(features: FloatArray, share: float, rng: np.random.Generator) -> FloatArray:
    """Mix rows of length 1 with Gaussian noise of the same energy: 0 keeps them, 1 keeps nothing of them."""
    noise = rng.normal(0.0, features.shape[1] ** -0.5, features.shape)
    mixed: FloatArray = ((1.0 - share**2) ** 0.5 * features + share * noise).astype(np.float32)
    return mixed


def _colours(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """The share of pixels in each cell of the RGB cube, `[LEVELS³]`."""
    red, green, blue = np.moveaxis(rgb.astype(np.intp) * _LEVELS // 256, -1, 0)
    counts = np.bincount(((red * _LEVELS + green) * _LEVELS + blue).ravel(), minlength=_LEVELS**3)
    return counts / counts.sum()


def _gradients(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Edge strength by direction in each cell of a grid (Dalal & Triggs 2005), `[CELLS² · DIRECTIONS]`."""
    down, right = np.gradient(rgb.mean(axis=-1))
    strength = np.hypot(down, right)
    direction = (np.arctan2(down, right) / np.pi % 1.0 * _DIRECTIONS).astype(np.intp) % _DIRECTIONS
    cell = np.arange(len(rgb)) * _CELLS // len(rgb)
    bins = (cell[:, None] * _CELLS + cell[None, :]) * _DIRECTIONS + direction
    sums = np.bincount(bins.ravel(), weights=strength.ravel(), minlength=_CELLS**2 * _DIRECTIONS)
    return sums / max(sums.sum(), 1e-9)


def _reduce(table: npt.ArrayLike) -> FloatArray:
    """The main directions of `[I, D]`, `[I, min(F, I - 1, D - 1)]`, rows of length 1."""
    width = min(WIDTH, min(np.shape(table)) - 1)
    reduced = TruncatedSVD(width, algorithm="arpack", random_state=0).fit_transform(table)
    lengths = np.linalg.norm(reduced, axis=1, keepdims=True)
    rows: FloatArray = (reduced / np.maximum(lengths, 1e-9)).astype(np.float32)
    return rows
