from itertools import product

import numpy as np
import pytest

from prismrec.demo.outlines import OUTLINES, Paint
from prismrec.demo.pictures import SIZE, render
from prismrec.demo.traits import TRAITS, Colour, Kind, Pattern, Style, Traits

MUG = Traits(Kind.MUG, Colour.RED, Pattern.STRIPES, Style.PLAYFUL)


def draw(traits: Traits, seed: int = 0) -> np.ndarray:
    return render(traits, np.random.default_rng(seed))


def test_a_picture_is_a_function_of_traits_and_generator():
    picture = draw(MUG)
    assert picture.shape == (SIZE, SIZE, 3)
    assert picture.dtype == np.uint8
    assert np.array_equal(draw(MUG), picture)


def test_pictures_of_equal_traits_differ():
    assert np.mean(draw(MUG, seed=1) != draw(MUG, seed=2)) > 0.5


@pytest.mark.parametrize("trait", TRAITS)
def test_every_value_of_every_trait_is_visible(trait):
    column = TRAITS.index(trait)
    pictures = [draw(Traits(*MUG[:column], value, *MUG[column + 1 :])).astype(int) for value in trait]
    for number, picture in enumerate(pictures):
        for other in pictures[:number]:
            changed = np.abs(picture - other).max(axis=-1) > 30
            assert changed.mean() > 0.01


@pytest.mark.parametrize(("kind", "style"), list(product(Kind, Style)))
def test_no_product_is_cut_off_by_the_edge(kind, style):
    for seed in range(8):
        picture = draw(Traits(kind, Colour.BLUE, Pattern.PLAIN, style), seed).astype(int)
        border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
        # The channels of the wall are almost equal; those of a blue product are not.
        assert np.ptp(border, axis=-1).max() < 40


@pytest.mark.parametrize("kind", Kind)
def test_an_outline_has_one_printed_body_and_lies_in_the_square(kind):
    parts = OUTLINES[kind].parts
    assert sum(part.paint is Paint.BODY for part in parts) == 1
    assert max(np.abs(part.points).max() for part in parts) <= 1.1
