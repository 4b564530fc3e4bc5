"""The hidden attributes of a product. Its picture and its text each show a part of them."""

from enum import Enum
from typing import NamedTuple

Rgb = tuple[int, int, int]


class Kind(Enum):
    """What the product is. The picture shows it by the outline."""

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
    """The main colour of the product."""

    RED = "red"
    ORANGE = "orange"
    YELLOW = "yellow"
    GREEN = "green"
    BLUE = "blue"
    PURPLE = "purple"
    PINK = "pink"
    CHARCOAL = "charcoal"


class Pattern(Enum):
    """The pattern on the product. The picture shows it in a second, lighter colour."""

    PLAIN = "plain"
    STRIPES = "stripes"
    DOTS = "dots"
    CHECKS = "checks"
    ZIGZAG = "zigzag"


class Style(Enum):
    """The style of the product. The picture shows it by a detail.

    Rustic products have a stitched seam, playful ones a face, and elegant ones a golden edge.
    """

    MINIMAL = "minimal"
    RUSTIC = "rustic"
    PLAYFUL = "playful"
    ELEGANT = "elegant"


class Traits(NamedTuple):
    """The four hidden attributes of an item."""

    kind: Kind
    colour: Colour
    pattern: Pattern
    style: Style


TRAITS: tuple[type[Enum], ...] = (Kind, Colour, Pattern, Style)
