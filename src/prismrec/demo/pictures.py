"""Draws pictures of products from their hidden attributes.

Pictures of products with equal attributes differ: colour, size, position, tilt, wall and pattern vary at random.
"""

import colorsys
from dataclasses import dataclass
from functools import cache
from math import cos, pi, sin
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw

from prismrec.demo.outlines import OUTLINES, Paint, Points
from prismrec.demo.traits import Colour, Pattern, Rgb, Style, Traits

SIZE = 80
"""Edge length S of a picture in pixels."""

_OVERSAMPLING = 3
_EDGE = SIZE * _OVERSAMPLING  # edge length of the canvas, which is reduced to the picture
_HSV: dict[Colour, tuple[float, float, float]] = {
    Colour.RED: (0.99, 0.72, 0.82),
    Colour.ORANGE: (0.075, 0.74, 0.95),
    Colour.YELLOW: (0.135, 0.68, 0.96),
    Colour.GREEN: (0.37, 0.48, 0.64),
    Colour.BLUE: (0.58, 0.62, 0.75),
    Colour.PURPLE: (0.76, 0.42, 0.68),
    Colour.PINK: (0.93, 0.4, 0.95),
    Colour.CHARCOAL: (0.6, 0.14, 0.34),
}
_FIXED: dict[Paint, Rgb] = {
    Paint.LIGHT: (250, 246, 238),
    Paint.DARK: (58, 48, 52),
    Paint.WOOD: (176, 128, 84),
    Paint.LEAF: (104, 148, 96),
}
_GOLD: Rgb = (205, 160, 66)
_THREAD: Rgb = (248, 240, 222)
_WHITE: Rgb = (255, 255, 255)
_BLACK: Rgb = (44, 38, 46)
_BLUSH: Rgb = (244, 150, 150)
_WALLS: tuple[Rgb, ...] = (
    (243, 238, 230),
    (236, 240, 241),
    (246, 236, 232),
    (236, 240, 230),
    (240, 237, 244),
)


class _Mark(NamedTuple):
    """A filled circle of a face.

    Attributes:
        x: offset from the centre of the face, in units of half the width of the face.
        y: likewise.
        radius: in units of 0.3 times half the width of the face.
        colour: the filling.
    """

    x: float
    y: float
    radius: float
    colour: Rgb


_FACE = (
    _Mark(-0.95, 0.42, 0.75, _BLUSH),
    _Mark(0.95, 0.42, 0.75, _BLUSH),
    _Mark(-0.6, -0.1, 1.25, _WHITE),
    _Mark(0.6, -0.1, 1.25, _WHITE),
    _Mark(-0.56, -0.06, 0.8, _BLACK),
    _Mark(0.56, -0.06, 0.8, _BLACK),
)


@dataclass(frozen=True)
class _Pose:
    """The placement of a product: it maps coordinates of an outline to pixels of the canvas.

    Attributes:
        centre: position of the outline's origin on the canvas, in pixels.
        scale: pixels per unit of the outline.
        tilt: rotation in radians.
    """

    centre: tuple[float, float]
    scale: float
    tilt: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "_Pose":
        """A random pose near the middle of the canvas."""
        x, y = _EDGE / 2 + rng.uniform(-0.035, 0.035, 2) * _EDGE
        scale = _EDGE * float(rng.uniform(0.36, 0.42))
        tilt = float(rng.normal(0.0, 0.06))
        return cls((float(x), float(y)), scale, tilt)

    def place(self, points: Points) -> Points:
        """Map points `[n, 2]` of an outline to the canvas, `[n, 2]`."""
        rotation = np.array([[cos(self.tilt), sin(self.tilt)], [-sin(self.tilt), cos(self.tilt)]])
        placed: Points = points @ rotation * self.scale + np.array(self.centre)
        return placed


def render(traits: Traits, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw the picture of a product.

    Args:
        traits: the attributes to show.
        rng: source of all random variation.

    Returns:
        RGB, uint8 `[S, S, 3]`.
    """
    outline = OUTLINES[traits.kind]
    pose = _Pose.draw(rng)
    hue, saturation, value = np.array(_HSV[traits.colour]) + rng.normal(0.0, (0.012, 0.05, 0.04))
    hue = hue % 1.0
    main = _rgb(hue, saturation, value)
    shade = _rgb(hue, saturation * 1.05, value * 0.72)
    canvas = _wall(pose, outline.bottom, rng)
    cloth = _cloth(traits.pattern, main, pose, rng)
    paints = {**_FIXED, Paint.SHADE: shade}
    pen = ImageDraw.Draw(canvas)
    for part in outline.parts:
        corners = pose.place(part.points)
        if part.paint is Paint.BODY:
            _draw_body(canvas, corners, cloth)
            _draw_trim(pen, corners, traits.style, pose.scale)
        elif part.width:
            _draw_line(pen, corners, part.width * pose.scale, paints[part.paint])
        else:
            pen.polygon(_flat(corners), fill=paints[part.paint])
    if traits.style is Style.PLAYFUL:
        _draw_face(pen, outline.face, pose)
    return np.asarray(canvas.reduce(_OVERSAMPLING))


def _rgb(hue: float, saturation: float, value: float) -> Rgb:
    saturation = min(max(saturation, 0.0), 1.0)
    value = min(max(value, 0.0), 1.0)
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _flat(corners: Points) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in corners]


def _wall(pose: _Pose, bottom: float, rng: np.random.Generator) -> Image.Image:
    """The background: a pale wall, brighter at the top, with the shadow of the product at its bottom edge."""
    wall = np.array(_WALLS[rng.integers(len(_WALLS))]) + rng.normal(0.0, 3.0, 3)  # [3]
    middles = (np.arange(SIZE) + 0.5) * _OVERSAMPLING  # of the pixels, on the canvas [S]
    x = middles - pose.centre[0]
    y = middles - pose.centre[1] - (bottom + 0.04) * pose.scale
    shadow = np.exp(-((x / (0.62 * pose.scale)) ** 2) - (y[:, None] / (0.13 * pose.scale)) ** 2)  # [S, S]
    light = np.linspace(1.02, 0.95, SIZE)[:, None] - 0.2 * shadow  # [S, S]
    grain = rng.normal(0.0, 1.5, (SIZE, SIZE, 1))
    pixels = np.clip(wall * light[..., None] + grain, 0, 255).astype(np.uint8)  # [S, S, 3]
    return Image.fromarray(pixels).resize((_EDGE, _EDGE), Image.Resampling.NEAREST)


def _cloth(pattern: Pattern, main: Rgb, pose: _Pose, rng: np.random.Generator) -> Image.Image:
    """A canvas covered with the pattern, from which bodies are cut."""
    tone = float(rng.uniform(0.62, 0.82))  # of the second colour: 0 is the main colour, 1 is light
    motifs = float(rng.uniform(2.6, 3.6))  # per unit of the outline
    shift = rng.uniform(0.0, 1.0, 2).astype(np.float32)
    lean = float(rng.choice([0.0, 0.25, 0.5])) * pi if pattern is Pattern.STRIPES else pose.tilt
    second = tuple(round(a + (b - a) * tone) for a, b in zip(main, _FIXED[Paint.LIGHT], strict=True))
    cloth = Image.new("RGB", (_EDGE, _EDGE), main)
    if pattern is not Pattern.PLAIN:
        across = (np.arange(_EDGE, dtype=np.float32) - _EDGE / 2) * (motifs / pose.scale)
        x, y = across[None, :], across[:, None]
        u = x * cos(lean) + y * sin(lean) + shift[0]  # [EDGE, EDGE]
        v = y * cos(lean) - x * sin(lean) + shift[1]
        cloth.paste(second, mask=Image.fromarray(_ink(pattern, u, v)))
    return ImageChops.multiply(cloth, _light())


def _ink(pattern: Pattern, u: npt.NDArray[np.float32], v: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """The opacity of the second colour at each point, 0 to 255. One motif covers one unit of u and of v."""
    row = np.floor(v)
    x = u - np.floor(u)  # position within the motif, 0 to 1
    y = v - row
    if pattern is Pattern.STRIPES:
        ink = (x < 0.42) * 255
    elif pattern is Pattern.DOTS:
        ink = ((np.abs(x - 0.5) - (row % 2) * 0.5) ** 2 + (y - 0.5) ** 2 < 0.085) * 255
    elif pattern is Pattern.CHECKS:
        ink = (x < 0.5) * 127 + (y < 0.5) * 127
    else:
        ink = (np.abs(y + np.abs(x - 0.5) - 0.75) < 0.22) * 255
    return ink.astype(np.uint8)


@cache
def _light() -> Image.Image:
    """The brightness of a body at each point of the canvas. The light comes from the upper left."""
    across = np.linspace(-1.0, 1.0, _EDGE)
    light = 255 * (0.96 - 0.08 * across[None, :] - 0.05 * across[:, None])
    channel = Image.fromarray(np.clip(light, 0, 255).astype(np.uint8))
    return Image.merge("RGB", [channel, channel, channel])


def _draw_body(canvas: Image.Image, corners: Points, cloth: Image.Image) -> None:
    mask = Image.new("L", canvas.size)
    ImageDraw.Draw(mask).polygon(_flat(corners), fill=255)
    canvas.paste(cloth, mask=mask)


def _draw_trim(pen: ImageDraw.ImageDraw, corners: Points, style: Style, scale: float) -> None:
    """Draw the golden edge of elegant products and the seam of rustic ones."""
    if style is Style.ELEGANT:
        closed = np.concatenate([corners, corners[:2]])
        _draw_line(pen, closed, 0.075 * scale, _GOLD)
    elif style is Style.RUSTIC:
        middle = (corners.max(axis=0) + corners.min(axis=0)) / 2
        seam = middle + (corners - middle) * 0.85
        _draw_stitches(pen, seam, scale)


def _draw_line(pen: ImageDraw.ImageDraw, corners: Points, width: float, colour: Rgb) -> None:
    """Draw a line with round ends and joints."""
    pen.line(_flat(corners), fill=colour, width=round(width), joint="curve")
    radius = width / 2
    for x, y in (corners[0], corners[-1]):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _draw_stitches(pen: ImageDraw.ImageDraw, seam: Points, scale: float) -> None:
    """Draw dashes of equal length along a closed seam: light thread on a dark border."""
    closed = np.concatenate([seam, seam[:1]])
    steps = np.diff(closed, axis=0)
    distances = np.concatenate([[0.0], np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))])  # from the start, at each corner
    length = distances[-1]
    count = max(int(length / (0.2 * scale)), 1)
    starts = np.arange(count) * length / count
    dashes = []
    for start in starts:
        at = start + np.linspace(0.0, 0.11, 3) * scale
        x = np.interp(at, distances, closed[:, 0])
        y = np.interp(at, distances, closed[:, 1])
        dashes.append(_flat(np.stack([x, y], axis=1)))
    for dash in dashes:
        pen.line(dash, fill=_FIXED[Paint.DARK], width=round(0.1 * scale))
    for dash in dashes:
        pen.line(dash, fill=_THREAD, width=round(0.06 * scale))


def _draw_face(pen: ImageDraw.ImageDraw, face: tuple[float, float, float], pose: _Pose) -> None:
    """Draw two cheeks, two eyes and a smile."""
    x, y, size = face
    unit = 0.3 * size * pose.scale
    for mark in _FACE:
        centre = pose.place(np.array([(x + mark.x * size, y + mark.y * size)]))  # [1, 2]
        px, py = centre[0]
        r = unit * mark.radius
        pen.ellipse((px - r, py - r, px + r, py + r), fill=mark.colour)
    angles = np.linspace(0.15, 0.85, 9) * np.pi
    smile = np.stack([x + 0.36 * size * np.cos(angles), y + (0.32 + 0.36 * np.sin(angles)) * size], axis=1)
    _draw_line(pen, pose.place(smile), 0.24 * size * pose.scale, _WHITE)
    _draw_line(pen, pose.place(smile), 0.13 * size * pose.scale, _BLACK)
