import subprocess
import sys

import numpy as np
import pytest

from prismrec.data import Dataset
from prismrec.demo import ShopConfig, make_shop
from prismrec.demo.shop import MIN_INTERACTIONS
from prismrec.errors import ParameterError

SEEDS = range(3)
K = 20


def recall(scores: np.ndarray, data: Dataset) -> float:
    """Recall@20 of scores `[U, I]` on the test split, without training and validation items."""
    scores = np.where((data.train.csr + data.valid.csr).toarray() > 0, -np.inf, scores)
    top = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    hits = np.take_along_axis(data.test.csr.toarray(), top, axis=1).sum(axis=1)
    return float(np.mean(hits / data.test.user_degrees))


def by_popularity(data: Dataset) -> np.ndarray:
    return np.tile(data.train.item_degrees.astype(float), (len(data.users), 1))


def by_neighbours(data: Dataset) -> np.ndarray:
    """Item-based collaborative filtering with the shrunk cosine similarity of the columns of R."""
    together = (data.train.csr.T @ data.train.csr).toarray()
    norms = np.sqrt(np.diag(together))
    similarity = together / (np.outer(norms, norms) + 5)
    np.fill_diagonal(similarity, 0)
    return data.train.csr @ similarity


def by_content(data: Dataset) -> np.ndarray:
    """Cosine similarity of an item and the mean of the user's training items."""
    features = np.concatenate([rows - rows.mean(axis=0) for rows in data.features.values()], axis=1)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return data.train.csr @ features @ features.T


@pytest.mark.parametrize("seed", SEEDS)
def test_content_and_neighbours_both_beat_popularity(small, seed):
    data = small(seed=seed).dataset()
    popular = recall(by_popularity(data), data)
    assert recall(by_content(data), data) > 1.5 * popular
    assert recall(by_neighbours(data), data) > 1.3 * popular


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_features_recommend_no_better_than_chance(small, seed):
    data = small(seed=seed, feature_noise=1.0).dataset()
    chance = K / len(data.items)
    assert recall(by_content(data), data) < 1.5 * chance


def test_without_tastes_popularity_beats_content_and_neighbours(small):
    data = small(taste=0.0).dataset()
    popular = recall(by_popularity(data), data)
    assert popular > recall(by_content(data), data)
    assert popular > recall(by_neighbours(data), data)


def test_a_shop_is_a_function_of_its_configuration(small):
    shop = small()
    again = make_shop(shop.config).dataset()
    assert again.fingerprint == shop.dataset().fingerprint
    assert again.catalog.equals(shop.catalog)
    assert small(seed=1).dataset().fingerprint != again.fingerprint


def test_every_user_has_distinct_items_in_every_split(small):
    shop = small()
    data = shop.dataset()
    splits = (data.train, data.valid, data.test)
    assert sum(len(split) for split in splits) == len(shop.log) == shop.config.interactions
    assert len(np.unique(shop.log.users.astype(np.int64) * shop.config.items + shop.log.items)) == len(shop.log)
    assert np.bincount(shop.log.users).min() >= MIN_INTERACTIONS
    assert all(split.user_degrees.min() >= 1 for split in splits)


def test_popularity_and_activity_have_long_tails(small):
    log = small().log
    for numbers, floor in ((log.users, MIN_INTERACTIONS), (log.items, 0)):
        counts = np.bincount(numbers) - floor
        # With equal weights, the variance of the counts would be close to their mean.
        assert counts.var() > 1.5 * counts.mean()
        assert counts.mean() > np.median(counts)


def test_all_interactions_are_drawn_at_the_limits_of_the_configuration():
    shop = make_shop(ShopConfig(users=10, items=20, interactions=50))
    assert np.array_equal(np.bincount(shop.log.users), np.full(10, MIN_INTERACTIONS))
    crowded = make_shop(ShopConfig(users=10, items=80, interactions=200))
    assert len(crowded.log) == 200
    assert np.bincount(crowded.log.users).max() <= 40


def test_tastes_and_noise_do_not_change_other_parts_of_the_shop(small):
    shop, noisy, tasteless = small(), small(feature_noise=1.0), small(taste=0.0)
    assert np.array_equal(noisy.log.items, shop.log.items)
    assert not np.array_equal(tasteless.log.items, shop.log.items)
    assert tasteless.items == shop.items
    assert np.array_equal(tasteless.pictures, shop.pictures)
    assert all(np.array_equal(tasteless.features[name], shop.features[name]) for name in shop.features)


def test_ids_are_in_the_order_in_which_readers_number_them(small):
    data = small().dataset()
    assert data.items.ids.is_sorted()
    assert data.users.ids.is_sorted()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"users": 100, "interactions": 499}, "expected 500..22500"),
        ({"users": 100, "items": 40, "interactions": 1001}, "expected 500..1000"),
        ({"taste": 1.1}, "taste"),
        ({"feature_noise": -0.1}, "feature_noise"),
        ({"seed": -1}, "seed"),
        ({"colours": 3}, "colours"),
    ],
)
def test_invalid_settings_are_refused_by_name(settings, named):
    with pytest.raises(ParameterError, match=named):
        ShopConfig(**settings)


def test_only_pictures_and_features_need_the_extra():
    script = """
import sys
sys.modules["PIL"] = sys.modules["sklearn"] = None
from prismrec.demo import ShopConfig, make_shop
from prismrec.errors import InputError
shop = make_shop(ShopConfig(users=10, items=30, interactions=60))
try:
    shop.features
except InputError as error:
    assert "pip install pillow scikit-learn" in str(error), error
else:
    raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-c", script], check=True)
