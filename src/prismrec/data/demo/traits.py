"""The hidden attributes of a product: what its picture shows and its text tells, each in part."""

from enum import Enum
from typing import NamedTuple

Rgb = tuple[int, int, int]


class Kind(Enum):
    """What the product is; drawn as its outline."""

    CAP = "cap"
    CUSHION = "cushion"
    LAMP = "lamp"
    MUG = "mug"
    NOTEBOOK = "notebook"
    PLATE = "plate"
    SOCK = "sock"
    TEAPOT = "teapot"
    TEE = "tee"
    TOTE = "tote"
    UMBRELLA = "umbrella"
    VASE = "vase"


class Colour(Enum):
    """The main colour."""

    RED = "red"
    ORANGE = "orange"
    YELLOW = "yellow"
    GREEN = "green"
    BLUE = "blue"
    PURPLE = "purple"
    PINK = "pink"
    CHARCOAL = "charcoal"


class Pattern(Enum):
    """The print; drawn in a lighter second colour."""

    PLAIN = "plain"
    STRIPES = "stripes"
    DOTS = "dots"
    CHECKS = "checks"
    ZIGZAG = "zigzag"


class Style(Enum):
    """The look; drawn as a detail: nothing, a stitched seam, a face, a gold edge."""

    MINIMAL = "minimal"
    RUSTIC = "rustic"
    PLAYFUL = "playful"
    ELEGANT = "elegant"


class Traits(NamedTuple):
    """The four hidden attributes of one item."""

    kind: Kind
    colour: Colour
    pattern: Pattern
    style: Style


TRAITS: tuple[type[Enum], ...] = (Kind, Colour, Pattern, Style)
