"""Pairs that SciPy and the kernels can trust."""

import numpy as np
import pytest
import torch

from prismrec.types import Interactions


@pytest.mark.parametrize(
    ("users", "items", "message"),
    [
        ([0], [10**8], "item numbers 100000000..100000000 are not within 0..3"),
        ([0], [-5], "item numbers -5..-5"),
        ([10**6], [0], "user numbers 1000000..1000000 are not within 0..2"),
        ([-7], [0], "user numbers -7..-7"),
        ([1, 0], [0, 1], "not sorted by user"),
        ([0, 1], [0], "2 users and 1 items are not pairs"),
        ([[0]], [[1]], "no array of whole numbers with one dimension"),
        ([0.5], [1], "no array of whole numbers"),
    ],
)
def test_numbers_that_would_be_read_beyond_an_array_are_refused(users: list, items: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Interactions(np.array(users), np.array(items), 3, 4)


def test_lists_are_no_interactions() -> None:
    with pytest.raises(ValueError, match="users that are no array"):
        Interactions([0], [1], 3, 4)


@pytest.mark.parametrize("numbers", [[0.5], [float("nan")], ["1"], [True], [None]])
def test_numbers_of_pairs_are_whole_and_not_cut(numbers: list) -> None:
    with pytest.raises(ValueError, match=r"user numbers of type .*, not whole numbers"):
        Interactions.from_pairs(numbers, [1], 3, 4)


def test_pairs_of_every_library_and_none_are_taken() -> None:
    assert len(Interactions.from_pairs(torch.tensor([0, 0]), np.array([1, 1], np.uint8), 3, 4)) == 1
    assert len(Interactions.from_pairs(np.zeros(2), [1, 2], 3, 4)) == 2
    assert len(Interactions.from_pairs([], [], 3, 4)) == 0
