"""In the demo shop, pictures and texts tell what customers like, unless noise replaces them."""

import pytest

import prismrec
from prismrec.demo import ShopConfig, make_shop
from prismrec.records import Settings

SETTINGS = Settings(epochs=60, validate_every=3, patience=6, device="cpu")


def recall(model: str, seed: int, feature_noise: float = 0.0) -> float:
    shop = make_shop(ShopConfig(users=600, items=400, interactions=5000, seed=seed, feature_noise=feature_noise))
    config = {} if model == "most-popular" else {"learning_rate": 5e-3}
    return prismrec.train(model, shop.dataset(), config, SETTINGS).evaluate("test", cutoffs=[20])["recall@20"]


@pytest.mark.parametrize("seed", range(5))
def test_lgmrec_beats_lightgcn_and_lightgcn_beats_popularity_unless_features_are_noise(seed: int) -> None:
    from_clicks = recall("LightGCN", seed)
    assert from_clicks > recall("most-popular", seed)
    assert recall("LGMRec", seed) > from_clicks
    assert recall("LGMRec", seed, feature_noise=1.0) <= from_clicks
