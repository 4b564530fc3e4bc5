import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from prismrec.demo import Shop
from prismrec.demo.noise import add_noise
from prismrec.demo.traits import TRAITS, Colour, Kind, Pattern, Style


def accuracy(shop: Shop, modality: str, trait: type) -> float:
    """Accuracy of a linear classifier of an attribute on products outside its training set."""
    values = [list(trait).index(item.traits[TRAITS.index(trait)]) for item in shop.items]
    return cross_val_score(LogisticRegression(C=30, max_iter=500), shop.features[modality], values, cv=3).mean()


@pytest.mark.parametrize(
    ("modality", "trait", "times_chance"),
    [
        ("image", Kind, 9),
        ("image", Colour, 5),
        ("image", Pattern, 1.8),
        ("image", Style, 1.8),
        ("text", Kind, 6),
        ("text", Colour, 2),
        ("text", Pattern, 1.8),
        ("text", Style, 2),
    ],
)
def test_attributes_of_unseen_products_can_be_predicted_from_features(small, modality, trait, times_chance):
    assert accuracy(small(), modality, trait) > times_chance / len(trait)


@pytest.mark.parametrize("modality", ["image", "text"])
@pytest.mark.parametrize("trait", TRAITS)
def test_attributes_cannot_be_predicted_from_noise(small, modality, trait):
    shop = small(feature_noise=1.0)
    chance = max(np.bincount([list(trait).index(item.traits[TRAITS.index(trait)]) for item in shop.items]))
    spread = (len(shop.items) / len(trait)) ** 0.5
    assert accuracy(shop, modality, trait) * len(shop.items) < chance + 3 * spread


def test_noise_lowers_the_accuracy(small):
    assert accuracy(small(feature_noise=0.9), "image", Kind) < accuracy(small(), "image", Kind)


def test_features_are_finite_float32_rows_of_length_one(small):
    for rows in small().features.values():
        assert rows.dtype == np.float32
        assert rows.shape == (400, 64)
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)


def test_a_tiny_shop_has_narrower_features(small):
    shop = small(users=10, items=30, interactions=60)
    assert shop.features["image"].shape == (30, 29)
    assert shop.features["text"].shape == (30, 29)


def test_share_1_is_noise_alone_and_share_0_changes_nothing():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 30, 8)).astype(np.float32)
    assert np.array_equal(add_noise(first, 0.0, np.random.default_rng(1)), first)
    noise = add_noise(first, 1.0, np.random.default_rng(1))
    assert np.array_equal(noise, add_noise(second, 1.0, np.random.default_rng(1)))
    assert noise.dtype == np.float32
