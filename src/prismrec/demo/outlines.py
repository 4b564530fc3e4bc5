"""The outline of each kind of product: filled shapes and lines in the square from -1 to 1, with y downward."""

from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
import numpy.typing as npt

from prismrec.demo.traits import Kind

Points = npt.NDArray[np.float64]


class Paint(Enum):
    """The colour of a part."""

    BODY = auto()  # the main colour of the product, with its pattern
    SHADE = auto()  # a darker tone of the main colour
    LIGHT = auto()
    DARK = auto()
    WOOD = auto()
    LEAF = auto()


@dataclass(frozen=True, eq=False)
class Part:
    """A filled shape or a line.

    Attributes:
        points: corners `[n, 2]`, x to the right and y downward.
        paint: the colour.
        width: width of the line; 0 for a filled shape.
    """

    points: Points
    paint: Paint
    width: float = 0.0


@dataclass(frozen=True)
class Outline:
    """The shape of a product.

    Attributes:
        parts: the parts from back to front. Exactly one has the paint `Paint.BODY`.
        face: the place of a face: centre x, centre y, half of its width.
    """

    parts: tuple[Part, ...]
    face: tuple[float, float, float]

    @property
    def bottom(self) -> float:
        """The largest y of all parts, where the shadow is."""
        return float(max(part.points[:, 1].max() for part in self.parts))


def _rounded(corners: list[tuple[float, float]], rounds: int = 3, closed: bool = True) -> Points:
    """Round the corners of a shape or a line by cutting them several times (Chaikin 1974).

    A corner that is given twice stays sharper.

    Args:
        corners: the corners in order.
        rounds: number of cuts.
        closed: whether the last corner is joined to the first.

    Returns:
        Corners `[n, 2]`.
    """
    points = np.array(corners, dtype=np.float64)
    for _ in range(rounds):
        starts = points if closed else points[:-1]
        ends = np.roll(points, -1, axis=0) if closed else points[1:]
        near_start = 0.75 * starts + 0.25 * ends
        near_end = 0.25 * starts + 0.75 * ends
        inner = np.stack([near_start, near_end], axis=1).reshape(-1, 2)
        points = inner if closed else np.concatenate([points[:1], inner, points[-1:]])
    return points


def _crisp(corners: list[tuple[float, float]]) -> Points:
    """A closed shape with slightly rounded corners, `[n, 2]`."""
    twice = [corner for corner in corners for _ in range(2)]
    return _rounded(twice)


def _mirrored(left: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The left corners, from top to bottom, followed by their mirror images on the right, from bottom to top."""
    right = [(-x, y) for x, y in reversed(left)]
    return left + right


def _ellipse(x: float, y: float, rx: float, ry: float, start: float = 0.0, stop: float = 2.0) -> Points:
    """An ellipse around (x, y) with radii rx and ry, or an arc of it, `[n, 2]`.

    Angles are in units of π. They start at the right and run clockwise.
    """
    angles = np.linspace(start, stop, 49) * np.pi
    return np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], axis=1)


def _arc(corners: list[tuple[float, float]]) -> Points:
    """An open line with rounded corners, `[n, 2]`."""
    return _rounded(corners, closed=False)


OUTLINES: dict[Kind, Outline] = {
    Kind.MUG: Outline(
        (
            Part(_arc([(0.36, -0.34), (0.98, -0.44), (0.92, 0.42), (0.3, 0.4)]), Paint.SHADE, 0.15),
            Part(_crisp([(-0.7, -0.62), (0.44, -0.62), (0.36, 0.72), (-0.62, 0.72)]), Paint.BODY),
            Part(_ellipse(-0.13, -0.62, 0.57, 0.12), Paint.SHADE),
            Part(_ellipse(-0.13, -0.6, 0.48, 0.08), Paint.DARK),
        ),
        (-0.13, 0.14, 0.3),
    ),
    Kind.TEAPOT: Outline(
        (
            Part(_arc([(0.5, -0.22), (1.02, -0.4), (1.0, 0.46), (0.46, 0.4)]), Paint.SHADE, 0.14),
            Part(
                _rounded([(-0.5, 0.3), (-0.8, -0.1), (-0.94, -0.42), (-0.78, -0.42), (-0.4, -0.1)]),
                Paint.SHADE,
            ),
            Part(_rounded(_mirrored([(-0.3, -0.5), (-0.74, -0.3), (-0.78, 0.5), (-0.42, 0.76)])), Paint.BODY),
            Part(_ellipse(0.0, -0.46, 0.34, 0.1), Paint.SHADE),
            Part(_ellipse(0.0, -0.62, 0.1, 0.1), Paint.WOOD),
        ),
        (0.0, 0.14, 0.32),
    ),
    Kind.PLATE: Outline(
        (
            Part(_ellipse(0.0, 0.0, 0.92, 0.92), Paint.BODY),
            Part(_ellipse(0.0, 0.0, 0.58, 0.58), Paint.LIGHT),
            Part(_ellipse(0.0, 0.0, 0.58, 0.58), Paint.SHADE, 0.05),
        ),
        (0.0, 0.02, 0.32),
    ),
    Kind.VASE: Outline(
        (
            Part(_arc([(0.0, -0.4), (-0.06, -0.7), (-0.3, -0.98)]), Paint.LEAF, 0.05),
            Part(_arc([(0.02, -0.4), (0.1, -0.7), (0.28, -1.0)]), Paint.LEAF, 0.05),
            Part(_rounded([(-0.02, -0.62), (-0.3, -0.56), (-0.52, -0.82), (-0.2, -0.82)]), Paint.LEAF),
            Part(_rounded([(0.06, -0.66), (0.3, -0.58), (0.56, -0.82), (0.24, -0.9)]), Paint.LEAF),
            Part(
                _rounded(
                    _mirrored(
                        [
                            (-0.3, -0.5),
                            (-0.2, -0.36),
                            (-0.22, -0.2),
                            (-0.7, 0.16),
                            (-0.5, 0.74),
                            (-0.34, 0.86),
                        ]
                    )
                ),
                Paint.BODY,
            ),
            Part(_ellipse(0.0, -0.45, 0.22, 0.06), Paint.DARK),
        ),
        (0.0, 0.3, 0.27),
    ),
    Kind.LAMP: Outline(
        (
            Part(np.array([(0.0, 0.1), (0.0, 0.76)]), Paint.WOOD, 0.11),
            Part(_ellipse(0.0, 0.8, 0.4, 0.11), Paint.WOOD),
            Part(_crisp(_mirrored([(-0.4, -0.86), (-0.78, 0.14)])), Paint.BODY),
            Part(_ellipse(0.0, -0.86, 0.38, 0.06), Paint.LIGHT),
        ),
        (0.0, -0.26, 0.3),
    ),
    Kind.CUSHION: Outline(
        (
            Part(
                _rounded(
                    [
                        *[(-0.9, -0.8)] * 2,
                        (-0.5, -0.66),
                        (0.5, -0.66),
                        *[(0.9, -0.8)] * 2,
                        (0.74, -0.4),
                        (0.74, 0.4),
                        *[(0.9, 0.8)] * 2,
                        (0.5, 0.66),
                        (-0.5, 0.66),
                        *[(-0.9, 0.8)] * 2,
                        (-0.74, 0.4),
                        (-0.74, -0.4),
                    ]
                ),
                Paint.BODY,
            ),
        ),
        (0.0, 0.0, 0.34),
    ),
    Kind.TEE: Outline(
        (
            Part(
                _crisp(
                    _mirrored(
                        [
                            (-0.24, -0.76),
                            (-0.48, -0.74),
                            (-0.98, -0.3),
                            (-0.72, -0.04),
                            (-0.5, -0.24),
                            (-0.52, 0.82),
                        ]
                    )
                ),
                Paint.BODY,
            ),
            Part(_ellipse(0.0, -0.74, 0.25, 0.17, 0.0, 1.0), Paint.SHADE),
        ),
        (0.0, 0.14, 0.3),
    ),
    Kind.SOCK: Outline(
        (
            Part(
                _rounded(
                    [
                        *[(-0.42, -0.7)] * 2,
                        *[(0.2, -0.7)] * 2,
                        (0.22, 0.12),
                        (0.44, 0.28),
                        (0.86, 0.36),
                        (0.92, 0.8),
                        (0.2, 0.86),
                        (-0.3, 0.8),
                        (-0.5, 0.4),
                    ]
                ),
                Paint.BODY,
            ),
            Part(_rounded([(0.56, 0.3), (0.92, 0.36), (0.94, 0.8), (0.6, 0.86), (0.48, 0.56)]), Paint.SHADE),
            Part(_crisp([(-0.48, -0.92), (0.26, -0.92), (0.24, -0.62), (-0.46, -0.62)]), Paint.SHADE),
        ),
        (-0.1, -0.14, 0.24),
    ),
    Kind.CAP: Outline(
        (
            Part(
                _rounded(
                    [
                        *[(-0.82, 0.36)] * 2,
                        (-0.84, -0.3),
                        (-0.46, -0.66),
                        (0.1, -0.66),
                        (0.46, -0.3),
                        *[(0.46, 0.36)] * 2,
                    ]
                ),
                Paint.BODY,
            ),
            Part(
                _rounded([*[(-0.3, 0.3)] * 2, (0.44, 0.14), (1.0, 0.4), (0.96, 0.54), (0.4, 0.4)]),
                Paint.SHADE,
            ),
            Part(_ellipse(-0.18, -0.57, 0.09, 0.05), Paint.SHADE),
        ),
        (-0.22, -0.12, 0.28),
    ),
    Kind.TOTE: Outline(
        (
            Part(_arc([(-0.36, -0.2), (-0.36, -1.05), (0.36, -1.05), (0.36, -0.2)]), Paint.SHADE, 0.1),
            Part(_crisp(_mirrored([(-0.62, -0.32), (-0.76, 0.86)])), Paint.BODY),
            Part(np.array([(-0.63, -0.26), (0.63, -0.26)]), Paint.SHADE, 0.06),
        ),
        (0.0, 0.28, 0.34),
    ),
    Kind.NOTEBOOK: Outline(
        (
            Part(_crisp([(-0.56, -0.8), (0.7, -0.8), (0.7, 0.88), (-0.56, 0.88)]), Paint.LIGHT),
            Part(_crisp([(-0.64, -0.88), (0.62, -0.88), (0.62, 0.8), (-0.64, 0.8)]), Paint.BODY),
            Part(_crisp([(-0.64, -0.88), (-0.42, -0.88), (-0.42, 0.8), (-0.64, 0.8)]), Paint.SHADE),
            Part(np.array([(0.42, -0.87), (0.42, 0.79)]), Paint.DARK, 0.06),
        ),
        (0.0, -0.1, 0.28),
    ),
    Kind.UMBRELLA: Outline(
        (
            Part(_arc([(0.0, -0.9), (0.0, 0.6), (0.02, 0.98), (0.3, 0.98), (0.3, 0.72)]), Paint.WOOD, 0.08),
            Part(
                np.concatenate(
                    [
                        _ellipse(0.0, 0.1, 0.96, 0.92, 1.0, 2.0),
                        _ellipse(0.64, 0.1, 0.32, 0.16, 2.0, 1.0),
                        _ellipse(0.0, 0.1, 0.32, 0.16, 2.0, 1.0),
                        _ellipse(-0.64, 0.1, 0.32, 0.16, 2.0, 1.0),
                    ]
                ),
                Paint.BODY,
            ),
            Part(_ellipse(0.0, -0.84, 0.07, 0.07), Paint.WOOD),
        ),
        (0.0, -0.36, 0.3),
    ),
}
