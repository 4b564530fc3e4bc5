import re
from enum import Enum
from itertools import product

import numpy as np
import pytest

from prismrec.demo.texts import WORDS, write
from prismrec.demo.traits import TRAITS, Colour, Kind, Pattern, Style, Traits


def mentions(text: str, value: Enum) -> bool:
    return any(re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) for word in WORDS[value])


@pytest.fixture(scope="module")
def shelf() -> list[tuple[Traits, str]]:
    """One text for every combination of traits."""
    return [
        (traits, " ".join(write(traits, np.random.default_rng(number))))
        for number, traits in enumerate(map(Traits._make, product(Kind, Colour, Pattern, Style)))
    ]


def test_no_text_names_a_wrong_attribute(shelf):
    for traits, text in shelf:
        wrong = [value for value in WORDS if value not in traits and mentions(text, value)]
        assert not wrong, text


@pytest.mark.parametrize("trait", TRAITS)
def test_every_attribute_is_named_often_but_not_always(shelf, trait):
    told = np.mean([mentions(text, traits[TRAITS.index(trait)]) for traits, text in shelf])
    assert 0.3 < told < 0.98


def test_products_with_equal_attributes_have_different_texts():
    traits = Traits(Kind.VASE, Colour.PINK, Pattern.DOTS, Style.RUSTIC)
    texts = [write(traits, np.random.default_rng(seed)) for seed in range(20)]
    assert len({text.title for text in texts}) > 10
    assert len({text.description for text in texts}) > 15


def test_a_text_is_a_function_of_traits_and_generator():
    traits = Traits(Kind.SOCK, Colour.BLUE, Pattern.PLAIN, Style.MINIMAL)
    assert write(traits, np.random.default_rng(3)) == write(traits, np.random.default_rng(3))


def test_titles_are_single_capitalised_lines(shelf):
    for _, text in shelf:
        assert text[0].isupper()
        assert "\n" not in text
        assert "{" not in text
