"""The built-in encoder of pictures: colours and edges. It needs no download and no GPU."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from prismrec.content.encoder import FittedEncoder
from prismrec.errors import InputError
from prismrec.provenance import State
from prismrec.types import FloatArray

if TYPE_CHECKING:
    from PIL.Image import Image

_WIDTH = 64
"""Largest number of columns F. Few pictures give fewer."""
_EDGE = 80  # edge length S of the picture that is described
_LEVELS = 4  # of each colour channel in a colour histogram
_CELLS = 5  # along each edge of the grid of gradient histograms
_DIRECTIONS = 8  # of the gradients in a cell
_SMALLEST = 1e-9  # avoids a division by zero
_LEAST_VARIANCE = 1e-12  # of a direction, as a share of the largest variance


class Histograms(FittedEncoder):
    """Histograms of colours and of gradients, reduced to their principal directions; rows have length 1."""

    name = "histograms"
    modality = "image"
    version = "1"
    preprocessing = f"resized to {_EDGE} × {_EDGE}; {_LEVELS**3} colours, {_CELLS**2} cells × {_DIRECTIONS} directions"
    batch_size = 256

    _mean: npt.NDArray[np.float64]  # [D]
    _directions: npt.NDArray[np.float64]  # [D, F]

    def prepare(self, content: "Image") -> npt.NDArray[np.float64]:
        """The square roots of the histograms of a picture, `[D]`."""
        from PIL import Image

        if content.size != (_EDGE, _EDGE):
            content = content.resize((_EDGE, _EDGE), Image.Resampling.BICUBIC, reducing_gap=3.0)
        return describe(np.asarray(content))

    def fit(self, prepared: Iterable[npt.NDArray[np.float64]]) -> None:
        """Find the mean and the principal directions.

        Raises:
            InputError: fewer than two different pictures.
        """
        size = _LEVELS**3 + _CELLS**2 * _DIRECTIONS
        count = 0
        first = np.zeros(size)  # sums of differences from it lose fewer digits
        total = np.zeros(size)
        products = np.zeros((size, size))
        for row in prepared:
            first = first if count else row
            count += 1
            total += row - first
            products += np.outer(row - first, row - first)
        mean = total / max(count, 1)
        covariance = products / max(count, 1) - np.outer(mean, mean)
        variances, directions = np.linalg.eigh(covariance)  # ascending
        enough = int((variances > _LEAST_VARIANCE * max(variances[-1], _SMALLEST)).sum())
        width = min(_WIDTH, count - 1, enough)
        if width < 1:
            raise InputError(f"encoder {self.name}", f"{count} pictures without a difference", "two different pictures")
        chosen = directions[:, ::-1][:, :width]
        largest = np.abs(chosen).argmax(axis=0)
        signs = np.sign(chosen[largest, np.arange(width)])
        self.load({"mean": first + mean, "directions": chosen * signs})

    def state(self) -> State:
        """The mean `[D]` and the directions `[D, F]`."""
        return {"mean": self._mean, "directions": self._directions}

    def load(self, state: State) -> None:
        """Take the mean and the directions."""
        self._mean = state["mean"].astype(np.float64)
        self._directions = np.ascontiguousarray(state["directions"].astype(np.float64))
        self.width = self._directions.shape[1]
        self.weights = hashlib.sha256(self._mean.tobytes() + self._directions.tobytes()).hexdigest()

    def encode(self, batch: Sequence[npt.NDArray[np.float64]]) -> FloatArray:
        """Project descriptions onto the directions."""
        return unit_rows((np.stack(batch) - self._mean) @ self._directions)


def describe(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """The square roots of the colour and gradient histograms of a picture `[S, S, 3]`, `[D]`."""
    return np.sqrt(np.concatenate([_colour_histogram(rgb), _gradient_histogram(rgb)]))


def unit_rows(rows: npt.NDArray[np.float64]) -> FloatArray:
    """Rows divided by their lengths, float32."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: FloatArray = (rows / np.maximum(lengths, _SMALLEST)).astype(np.float32)
    return unit


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
