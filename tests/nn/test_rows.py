import pytest
import torch
from torch import Tensor

import plain
from prismrec.nn.rows import take_rows, triplet_rows
from prismrec.types import Triplets


@pytest.mark.parametrize("rows", [torch.tensor([3, 0, 3, 3, 1]), torch.tensor([], dtype=torch.int64), slice(1, 4)])
@pytest.mark.parametrize("shape", [(5,), (5, 2), (5, 2, 3)])
def test_rows_and_their_gradient_are_those_of_indexing(shape: tuple[int, ...], rows: Tensor | slice) -> None:
    matrix = plain.random_rows(*shape)
    plain.assert_same(take_rows(matrix, rows), matrix[rows], matrix)


def test_a_triplet_has_the_rows_of_its_user_its_positive_and_its_negative() -> None:
    users, items = plain.random_rows(4, 2), plain.random_rows(5, 2, seed=1)
    batch = Triplets(torch.tensor([3, 3, 0]), torch.tensor([4, 1, 1]), torch.tensor([0, 2, 2]))
    for found, expected in zip(
        triplet_rows(users, items, batch), (users[[3, 3, 0]], items[[4, 1, 1]], items[[0, 2, 2]]), strict=True
    ):
        plain.assert_same(found, expected, users, items)
