"""English titles and descriptions, written from the hidden attributes with synonyms.

A text does not name all attributes. The title names the kind in 9 of 10 cases and the others less often, and the
description leaves attributes out. Both contain words that do not depend on the product.
"""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

import numpy as np

from prismrec.demo.traits import Colour, Kind, Pattern, Style, Traits

WORDS: dict[Enum, tuple[str, ...]] = {
    Kind.CAP: ("cap", "baseball cap", "sun cap"),
    Kind.CUSHION: ("cushion", "throw pillow", "sofa cushion"),
    Kind.LAMP: ("lamp", "table lamp", "bedside light"),
    Kind.MUG: ("mug", "coffee mug", "tea mug"),
    Kind.NOTEBOOK: ("notebook", "journal", "sketchbook"),
    Kind.PLATE: ("plate", "dinner plate", "breakfast plate"),
    Kind.SOCK: ("socks", "ankle socks", "wool socks"),
    Kind.TEAPOT: ("teapot", "tea pot", "kettle-style teapot"),
    Kind.TEE: ("tee", "t-shirt", "cotton shirt"),
    Kind.TOTE: ("tote", "tote bag", "shopper bag"),
    Kind.UMBRELLA: ("umbrella", "rain umbrella", "brolly"),
    Kind.VASE: ("vase", "flower vase", "bud vase"),
    Colour.RED: ("red", "scarlet", "cherry"),
    Colour.ORANGE: ("orange", "tangerine", "apricot"),
    Colour.YELLOW: ("yellow", "lemon", "mustard"),
    Colour.GREEN: ("green", "sage", "fern"),
    Colour.BLUE: ("blue", "denim", "ocean"),
    Colour.PURPLE: ("purple", "violet", "plum"),
    Colour.PINK: ("pink", "rose", "blush"),
    Colour.CHARCOAL: ("charcoal", "graphite", "slate"),
    Pattern.PLAIN: ("plain", "solid", "single-colour"),
    Pattern.STRIPES: ("striped", "banded", "stripy"),
    Pattern.DOTS: ("dotted", "polka-dot", "spotted"),
    Pattern.CHECKS: ("checked", "gingham", "plaid"),
    Pattern.ZIGZAG: ("zigzag", "chevron", "herringbone"),
    Style.MINIMAL: ("minimal", "understated", "clean-lined"),
    Style.RUSTIC: ("rustic", "hand-stitched", "farmhouse"),
    Style.PLAYFUL: ("playful", "cheerful", "smiling"),
    Style.ELEGANT: ("elegant", "gold-edged", "refined"),
}
"""The words for each value of each attribute."""

_USES: dict[Kind, tuple[str, ...]] = {
    Kind.CAP: ("Shades your eyes on bright days", "Adjusts at the back to any head"),
    Kind.CUSHION: ("Softens the sofa and the reading corner", "Filled with down, with a zip for washing"),
    Kind.LAMP: ("Throws a warm light on the desk", "Takes any small bulb and stands firmly"),
    Kind.MUG: ("Holds a generous coffee and keeps it hot", "Glazed stoneware with a roomy handle"),
    Kind.NOTEBOOK: ("Two hundred pages that take ink well", "Lies flat and keeps your place with a band"),
    Kind.PLATE: ("Serves lunch and looks good on the shelf", "Fired twice so that knives leave no mark"),
    Kind.SOCK: ("Warm toes from the first cold morning", "Knitted with a reinforced heel"),
    Kind.TEAPOT: ("Pours four cups without a drip", "Brews loose leaf tea and fits the strainer"),
    Kind.TEE: ("Soft jersey that keeps its shape", "Short sleeves and a crew neck"),
    Kind.TOTE: ("Carries the groceries and a laptop", "Long handles that sit well on the shoulder"),
    Kind.UMBRELLA: ("Opens wide and shrugs off the wind", "Eight ribs and a curved handle for the storm"),
    Kind.VASE: ("Made for tulips or a single branch", "Watertight and heavy enough for tall stems"),
}
_LOOKS: dict[Style, tuple[str, ...]] = {
    Style.MINIMAL: ("Nothing added, nothing to distract", "Quiet shapes for calm rooms"),
    Style.RUSTIC: ("The visible seam is sewn by hand", "Rough thread and honest craft"),
    Style.PLAYFUL: ("Its little face makes children laugh", "It smiles back at you"),
    Style.ELEGANT: ("A fine golden rim catches the light", "Dressed up for special evenings"),
}
_NAMES = ("Alder", "Birk", "Calla", "Dune", "Elm", "Fjord", "Harbour", "Ines", "Juno", "Kite", "Lark", "Moss")
_FILLERS = (
    "Ships within two days.",
    "Made in small batches.",
    "A gift that always fits.",
    "Comes in a recycled box.",
    "Loved by our customers.",
    "Part of the new season.",
)
_PATTERN_SENTENCES = ("A {} finish.", "With a {} print.", "The {} design suits every home.")
_COLOUR_SENTENCES = ("The colour is {}.", "Dyed {} with care.", "Choose it in {}.")


class Text(NamedTuple):
    """The text of a product."""

    title: str
    description: str


def write(traits: Traits, rng: np.random.Generator) -> Text:
    """Write the title and the description of a product."""
    title = _title(traits, rng)
    description = _description(traits, rng)
    return Text(title, description)


def _pick(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def _title(traits: Traits, rng: np.random.Generator) -> str:
    """A title such as "Harbour Striped Coffee Mug in Denim"."""
    draws = rng.random(4)  # they decide which attributes the title names
    words = [_pick(_NAMES, rng)]
    if draws[0] < 0.4:
        words.append(_pick(WORDS[traits.style], rng))
    if draws[1] < 0.4:
        words.append(_pick(WORDS[traits.pattern], rng))
    if draws[2] < 0.9:
        words.append(_pick(WORDS[traits.kind], rng))
    else:
        words.append("piece")
    single_words = " ".join(words).split()
    title = " ".join(word[0].upper() + word[1:] for word in single_words)
    if draws[3] < 0.4:
        title += f" in {_pick(WORDS[traits.colour], rng).capitalize()}"
    return title


def _description(traits: Traits, rng: np.random.Generator) -> str:
    """One to five sentences in random order."""
    draws = rng.random(4)  # they decide which attributes the description names
    sentences = [_pick(_FILLERS, rng)]
    if draws[0] < 0.75:
        sentences.append(f"{_pick(_USES[traits.kind], rng)}.")
    if draws[1] < 0.65:
        sentences.append(f"{_pick(_LOOKS[traits.style], rng)}.")
    if draws[2] < 0.55:
        sentence = _pick(_PATTERN_SENTENCES, rng)
        sentences.append(sentence.format(_pick(WORDS[traits.pattern], rng)))
    if draws[3] < 0.5:
        sentence = _pick(_COLOUR_SENTENCES, rng)
        sentences.append(sentence.format(_pick(WORDS[traits.colour], rng)))
    order = rng.permutation(len(sentences))
    return " ".join(sentences[number] for number in order)
