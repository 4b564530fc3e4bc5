import numpy as np
import pytest
import torch

from prismrec.retrieval.explain import contributions, likeness
from prismrec.retrieval.features import unit_features
from prismrec.types import Interactions

ITEMS = 20


class Linear:
    """The sum of one vector per item, over the square root of their number."""

    linear = True

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.parts = torch.randn(ITEMS, 6, generator=generator)

    def embed_users(self, histories):
        sums = torch.from_numpy(histories.csr @ self.parts.numpy())
        return sums / torch.from_numpy(histories.user_degrees).clamp(min=1).sqrt()[:, None]


class Squared(Linear):
    linear = False

    def embed_users(self, histories):
        return super().embed_users(histories).square()


def vector(newcomers, items):
    return newcomers.embed_users(Interactions.from_pairs([0] * len(items), items, 1, ITEMS))[0]


@pytest.mark.parametrize("history", [[4], [7, 2], [1, 3, 5, 19]])
def test_contributions_of_a_linear_history_are_exact_parts_of_the_score(history):
    newcomers, targets = Linear(), torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    found = contributions(newcomers, np.array(history), targets, ITEMS)
    expected = targets @ newcomers.parts[history].T / len(history) ** 0.5
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.sum(1), targets @ vector(newcomers, history))


def test_other_contributions_are_the_difference_that_leaving_out_makes():
    newcomers, targets = Squared(), torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    found = contributions(newcomers, np.array([7, 2, 9]), targets, ITEMS)
    for column, rest in enumerate([[2, 9], [7, 9], [7, 2]]):
        expected = targets @ (vector(newcomers, [7, 2, 9]) - vector(newcomers, rest))
        torch.testing.assert_close(found[:, column], expected, rtol=1e-4, atol=1e-4)


def test_likeness_is_the_cosine_and_the_share_of_items_that_are_less_alike():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((ITEMS, 5)).astype(np.float32)
    present = np.ones(ITEMS, dtype=np.bool_)
    present[3] = False
    features = unit_features({"image": rows}, {"image": present})["image"]
    cosines, shares = likeness(features, np.array([0, 3, 8]), np.array([5, 8]))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    unit[3] = 0
    expected = unit[[5, 8]] @ unit[[0, 3, 8]].T
    assert cosines[:, 1].isnan().all()
    assert shares[:, 1].isnan().all()
    np.testing.assert_allclose(cosines[:, [0, 2]], expected[:, [0, 2]], atol=2e-3)
    less_alike = [[(unit @ unit[t] < cosine).mean() for cosine in row] for t, row in zip([5, 8], expected, strict=True)]
    np.testing.assert_allclose(shares[0, [0, 2]], [less_alike[0][0], less_alike[0][2]], atol=1e-6)
    assert shares[1, 2] == 1 - 1 / ITEMS  # an item resembles itself most


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_unit_features_have_length_one_at_any_scale_and_are_zero_where_absent(scale):
    rows = np.random.default_rng(0).standard_normal((5000, 7)).astype(np.float32) * np.float32(scale)
    rows[11] = 0
    present = np.arange(5000) % 5 != 0
    unit = unit_features({"text": rows}, {"text": present})["text"]
    lengths = unit.float().norm(dim=1).numpy()
    expected = present.astype(np.float32)
    expected[11] = 0
    np.testing.assert_allclose(lengths, expected, atol=2e-3)
