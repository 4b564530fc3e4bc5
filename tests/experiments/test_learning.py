"""The embedded shop has a known answer: its pictures and texts tell what customers like, or, made noise, nothing."""

import pytest

import prismrec
from prismrec.data.demo import ShopConfig, make_shop
from prismrec.records import Settings

SETTINGS = Settings(epochs=60, validate_every=3, patience=6, device="cpu")


def recall(model: str, seed: int, feature_noise: float = 0.0) -> float:
    shop = make_shop(ShopConfig(users=600, items=400, interactions=5000, seed=seed, feature_noise=feature_noise))
    config = {} if model == "most-popular" else {"learning_rate": 5e-3}
    return prismrec.train(model, shop.dataset(), config, SETTINGS).evaluate("test", cutoffs=[20])["recall@20"]


@pytest.mark.parametrize("seed", range(5))
def test_features_lift_lgmrec_above_lightgcn_above_popularity_and_noise_does_not(seed: int) -> None:
    popular, clicks, both = (recall(model, seed) for model in ("most-popular", "LightGCN", "LGMRec"))
    assert both > clicks > popular
    assert recall("LGMRec", seed, feature_noise=1.0) <= clicks
