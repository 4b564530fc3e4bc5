"""Product pictures: hidden attributes and a random generator in, an RGB picture out.

No two pictures of equal attributes agree: colour, size, place, tilt, the scale of the print and the light all vary.
"""

import colorsys
from dataclasses import dataclass
from functools import cache
from math import cos, pi, sin

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw

from prismrec.data.demo.outlines import OUTLINES, Paint, Points
from prismrec.data.demo.traits import Colour, Pattern, Rgb, Style, Traits

SIZE = 80
"""Edge of a picture in pixels."""

_OVERSAMPLING = 3
_EDGE = SIZE * _OVERSAMPLING
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
_WALLS: tuple[Rgb, ...] = (
    (243, 238, 230),
    (236, 240, 241),
    (246, 236, 232),
    (236, 240, 230),
    (240, 237, 244),
)


@dataclass(frozen=True)
class _Pose:
    """Where the product stands on the canvas: product coordinates in, canvas pixels out."""

    centre: tuple[float, float]
    scale: float
    tilt: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "_Pose":
        x, y = _EDGE / 2 + rng.uniform(-0.035, 0.035, 2) * _EDGE
        return cls((float(x), float(y)), _EDGE * float(rng.uniform(0.36, 0.42)), float(rng.normal(0.0, 0.06)))

    def place(self, points: Points) -> Points:
        turn = np.array([[cos(self.tilt), sin(self.tilt)], [-sin(self.tilt), cos(self.tilt)]])
        placed: Points = points @ turn * self.scale + np.array(self.centre)
        return placed


def render(traits: Traits, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw one product; uint8 `[SIZE, SIZE, 3]`."""
    outline = OUTLINES[traits.kind]
    pose = _Pose.draw(rng)
    hue, saturation, value = np.array(_HSV[traits.colour]) + rng.normal(0.0, (0.012, 0.05, 0.04))
    main = _rgb(hue % 1.0, saturation, value)
    canvas = _wall(pose, outline.bottom, rng)
    prints = _print(traits.pattern, main, pose, rng)
    paints = {**_FIXED, Paint.SHADE: _rgb(hue % 1.0, saturation * 1.05, value * 0.72)}
    pen = ImageDraw.Draw(canvas)
    for part in outline.parts:
        corners = pose.place(part.points)
        if part.paint is Paint.BODY:
            mask = Image.new("L", canvas.size)
            ImageDraw.Draw(mask).polygon(_flat(corners), fill=255)
            canvas.paste(prints, mask=mask)
            if traits.style is Style.ELEGANT:
                _line(pen, np.concatenate([corners, corners[:2]]), 0.075 * pose.scale, _GOLD)
            elif traits.style is Style.RUSTIC:
                middle = (corners.max(axis=0) + corners.min(axis=0)) / 2
                _stitches(pen, middle + (corners - middle) * 0.85, pose.scale)
        elif part.width:
            _line(pen, corners, part.width * pose.scale, paints[part.paint])
        else:
            pen.polygon(_flat(corners), fill=paints[part.paint])
    if traits.style is Style.PLAYFUL:
        _face(pen, outline.face, pose)
    return np.asarray(canvas.reduce(_OVERSAMPLING))


def _rgb(hue: float, saturation: float, value: float) -> Rgb:
    red, green, blue = colorsys.hsv_to_rgb(hue, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))
    return round(red * 255), round(green * 255), round(blue * 255)


def _flat(corners: Points) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in corners]


def _line(pen: ImageDraw.ImageDraw, corners: Points, width: float, colour: Rgb) -> None:
    """A line with round ends and joints."""
    pen.line(_flat(corners), fill=colour, width=round(width), joint="curve")
    radius = width / 2
    for x, y in (corners[0], corners[-1]):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _wall(pose: _Pose, bottom: float, rng: np.random.Generator) -> Image.Image:
    """The background: a pale wall lit from above, and the shadow below the product."""
    wall = np.array(_WALLS[rng.integers(len(_WALLS))]) + rng.normal(0.0, 3.0, 3)
    step = (np.arange(SIZE) + 0.5) * _OVERSAMPLING
    x, y = step - pose.centre[0], step - pose.centre[1] - (bottom + 0.04) * pose.scale
    shadow = np.exp(-((x / (0.62 * pose.scale)) ** 2) - (y[:, None] / (0.13 * pose.scale)) ** 2)
    light = np.linspace(1.02, 0.95, SIZE)[:, None] - 0.2 * shadow
    grain = rng.normal(0.0, 1.5, (SIZE, SIZE, 1))
    pixels = np.clip(wall * light[..., None] + grain, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels).resize((_EDGE, _EDGE), Image.Resampling.NEAREST)


def _print(pattern: Pattern, main: Rgb, pose: _Pose, rng: np.random.Generator) -> Image.Image:
    """The printed cloth that bodies are cut from, darker to the right and the bottom."""
    tone = float(rng.uniform(0.62, 0.82))
    motifs = float(rng.uniform(2.6, 3.6))
    shift = rng.uniform(0.0, 1.0, 2).astype(np.float32)
    lean = float(rng.choice([0.0, 0.25, 0.5])) * pi if pattern is Pattern.STRIPES else pose.tilt
    second = tuple(round(a + (b - a) * tone) for a, b in zip(main, _FIXED[Paint.LIGHT], strict=True))
    cloth = Image.new("RGB", (_EDGE, _EDGE), main)
    if pattern is not Pattern.PLAIN:
        across = (np.arange(_EDGE, dtype=np.float32) - _EDGE / 2) * (motifs / pose.scale)
        x, y = across[None, :], across[:, None]
        u = x * cos(lean) + y * sin(lean) + shift[0]
        v = y * cos(lean) - x * sin(lean) + shift[1]
        cloth.paste(second, mask=Image.fromarray(_ink(pattern, u, v)))
    return ImageChops.multiply(cloth, _light())


@cache
def _light() -> Image.Image:
    """How bright a body is at each point of the canvas: lit from the upper left."""
    across = np.linspace(-1.0, 1.0, _EDGE)
    light = 255 * (0.96 - 0.08 * across[None, :] - 0.05 * across[:, None])
    return Image.merge("RGB", [Image.fromarray(np.clip(light, 0, 255).astype(np.uint8))] * 3)


def _ink(pattern: Pattern, u: npt.NDArray[np.float32], v: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """How much of the second colour lies at each point, 0 to 255; one motif per unit of u and v."""
    row = np.floor(v)
    u, v = u - np.floor(u), v - row
    if pattern is Pattern.STRIPES:
        ink = (u < 0.42) * 255
    elif pattern is Pattern.DOTS:
        ink = ((np.abs(u - 0.5) - (row % 2) * 0.5) ** 2 + (v - 0.5) ** 2 < 0.085) * 255
    elif pattern is Pattern.CHECKS:
        ink = (u < 0.5) * 127 + (v < 0.5) * 127
    else:
        ink = (np.abs(v + np.abs(u - 0.5) - 0.75) < 0.22) * 255
    return ink.astype(np.uint8)


def _stitches(pen: ImageDraw.ImageDraw, seam: Points, scale: float) -> None:
    """Dashes of equal length along a closed seam."""
    closed = np.concatenate([seam, seam[:1]])
    walked = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    count = max(int(walked[-1] / (0.2 * scale)), 1)
    starts = np.arange(count) * walked[-1] / count
    for colour, width in ((_FIXED[Paint.DARK], 0.1), (_THREAD, 0.06)):
        for start in starts:
            at = start + np.linspace(0.0, 0.11, 3) * scale
            dash = np.stack([np.interp(at, walked, closed[:, axis]) for axis in (0, 1)], axis=1)
            pen.line(_flat(dash), fill=colour, width=round(width * scale))


def _face(pen: ImageDraw.ImageDraw, face: tuple[float, float, float], pose: _Pose) -> None:
    """Two eyes, two cheeks and a smile."""
    x, y, size = face
    radius = 0.3 * size * pose.scale
    marks: tuple[tuple[float, float, float, Rgb], ...] = (
        (-0.95, 0.42, 0.75, (244, 150, 150)),
        (0.95, 0.42, 0.75, (244, 150, 150)),
        (-0.6, -0.1, 1.25, (255, 255, 255)),
        (0.6, -0.1, 1.25, (255, 255, 255)),
        (-0.56, -0.06, 0.8, (44, 38, 46)),
        (0.56, -0.06, 0.8, (44, 38, 46)),
    )
    for dx, dy, share, colour in marks:
        ((px, py),) = pose.place(np.array([(x + dx * size, y + dy * size)]))
        r = radius * share
        pen.ellipse((px - r, py - r, px + r, py + r), fill=colour)
    angles = np.linspace(0.15, 0.85, 9) * np.pi
    smile = np.stack([x + 0.36 * size * np.cos(angles), y + (0.32 + 0.36 * np.sin(angles)) * size], axis=1)
    _line(pen, pose.place(smile), 0.24 * size * pose.scale, (255, 255, 255))
    _line(pen, pose.place(smile), 0.13 * size * pose.scale, (44, 38, 46))
