"""Features `[I, F]` of pictures and texts by classical methods. They do not use the hidden attributes."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import TruncatedSVD  # type: ignore[import-untyped]  # it ships no type information
from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]  # likewise
from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]  # likewise

from prismrec.types import FloatArray

WIDTH = 64
"""Feature width F of both modalities. A shop with few items has fewer columns."""

_LEVELS = 4  # of each colour channel in a colour histogram
_CELLS = 5  # along each edge of the grid of gradient histograms
_DIRECTIONS = 8  # of the gradients in a cell
_SMALLEST = 1e-9  # avoids a division by zero


def image_features(pictures: Iterable[npt.NDArray[np.uint8]]) -> FloatArray:
    """Reduce histograms of colours and of gradients to their principal directions.

    Args:
        pictures: I RGB pictures of one size, uint8 `[S, S, 3]` each.

    Returns:
        Features `[I, F]`, float32, with rows of length 1.
    """
    rows = []
    for rgb in pictures:
        rows.append(np.concatenate([_colour_histogram(rgb), _gradient_histogram(rgb)]))
    roots = np.sqrt(np.stack(rows))  # [I, LEVELS³ + CELLS² DIRECTIONS]
    centred = StandardScaler(with_std=False).fit_transform(roots)
    return _reduce(centred)


def text_features(texts: Sequence[str]) -> FloatArray:
    """Reduce TF-IDF weights of words and of pairs of words by latent semantic analysis.

    Args:
        texts: I texts.

    Returns:
        Features `[I, F]`, float32, with rows of length 1.
    """
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    return _reduce(vectorizer.fit_transform(texts))


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


def _colour_histogram(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """The share of pixels in each cell of the RGB cube, `[LEVELS³]`."""
    levels = rgb.astype(np.intp) * _LEVELS // 256  # [S, S, 3]
    red, green, blue = levels[..., 0], levels[..., 1], levels[..., 2]
    cells = (red * _LEVELS + green) * _LEVELS + blue
    counts = np.bincount(cells.ravel(), minlength=_LEVELS**3)
    return counts / counts.sum()


def _gradient_histogram(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Edge strength by direction in each cell of a grid (Dalal & Triggs 2005), `[CELLS² DIRECTIONS]`."""
    down, right = np.gradient(rgb.mean(axis=-1))  # [S, S] each
    strength = np.hypot(down, right)
    half_turns = np.arctan2(down, right) / np.pi % 1.0  # opposite gradients have the same direction
    direction = (half_turns * _DIRECTIONS).astype(np.intp) % _DIRECTIONS
    cell = np.arange(len(rgb)) * _CELLS // len(rgb)  # of a row or a column of pixels [S]
    bins = (cell[:, None] * _CELLS + cell[None, :]) * _DIRECTIONS + direction
    sums = np.bincount(bins.ravel(), weights=strength.ravel(), minlength=_CELLS**2 * _DIRECTIONS)
    return sums / max(sums.sum(), _SMALLEST)


def _reduce(table: npt.ArrayLike) -> FloatArray:
    """Project `[I, D]` onto its principal directions and scale the rows to length 1: `[I, min(F, I - 1, D - 1)]`."""
    width = min(WIDTH, min(np.shape(table)) - 1)
    reduced = TruncatedSVD(width, algorithm="arpack", random_state=0).fit_transform(table)
    lengths = np.linalg.norm(reduced, axis=1, keepdims=True)
    rows: FloatArray = (reduced / np.maximum(lengths, _SMALLEST)).astype(np.float32)
    return rows
