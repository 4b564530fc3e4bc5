"""The choice of the maps for new users and new items."""

import numpy as np
import pytest
import torch

from prismrec.errors import InputError
from prismrec.retrieval.item_map import Average, FeatureSpace, ItemMap, Linear, Nearest
from prismrec.retrieval.newcomers import HistoryMap, MapSettings, Newcomers, ridge_regressions
from prismrec.runs.new_items import choose_item_map
from prismrec.runs.newcomers import choose_newcomers
from prismrec.types import Embeddings, Interactions

USERS, ITEMS, WIDTH = 200, 90, 6


def world(seed: int = 0) -> tuple[Embeddings, Interactions, Interactions, dict[str, torch.Tensor]]:
    """Vectors that features decide, and clicks on the items with the highest scores, some of them held out."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.randn(ITEMS, 12, generator=generator)
    image = torch.randn(ITEMS, 9, generator=generator)
    items = torch.cat([text, image], 1) @ torch.randn(21, WIDTH, generator=generator)
    users = torch.randn(USERS, WIDTH, generator=generator)
    best = (users @ items.T).topk(8, 1).indices.numpy()
    rng = np.random.default_rng(seed)
    held_out = rng.random(best.shape) < 0.2
    rows = np.repeat(np.arange(USERS), 8).reshape(best.shape)
    train = Interactions.from_pairs(rows[~held_out], best[~held_out], USERS, ITEMS)
    valid = Interactions.from_pairs(rows[held_out], best[held_out], USERS, ITEMS)
    return Embeddings(users, items), train, valid, {"text": text, "image": image}


def test_items_are_predicted_from_their_features_in_the_scale_of_trained_ones() -> None:
    embeddings, train, _, features = world()
    kept = torch.arange(ITEMS) % 6 > 0
    kept_items = torch.nonzero(kept).squeeze(1)
    number = torch.full((ITEMS,), -1)
    number[kept_items] = torch.arange(len(kept_items))
    is_kept = kept.numpy()[train.items]
    pairs = number.numpy()[train.items[is_kept]]
    known = Interactions.from_pairs(train.users[is_kept], pairs, USERS, len(kept_items))
    trained = Embeddings(embeddings.users, embeddings.items[kept])
    nothing = Interactions.from_pairs([], [], USERS, len(kept_items))
    newcomers = choose_newcomers(trained, known, nothing, {name: rows[kept] for name, rows in features.items()})
    item_map = newcomers.item_map
    assert item_map is not None
    predicted = item_map({name: rows[~kept] for name, rows in features.items()})
    expected = embeddings.items[~kept]
    cosines = torch.nn.functional.cosine_similarity(predicted, expected)
    assert cosines.mean() > 0.9
    ratio = predicted.norm(dim=1).mean() / expected.norm(dim=1).mean()
    assert 0.7 < ratio < 1.4


def test_the_map_of_items_serves_trained_users_even_if_embedded_ones_say_nothing() -> None:
    embeddings, train, _, features = world()
    silent = HistoryMap(torch.zeros(ITEMS, WIDTH), torch.zeros(WIDTH, WIDTH), MapSettings(0.0, 1.0, 0.1))
    found = choose_item_map(embeddings, train, features, silent)
    assert found is not None
    x = found.space(features)
    mean = embeddings.items.mean(0)
    (smoothest,) = ridge_regressions(x - x.mean(0), embeddings.items - mean, [3.0])  # the first one that is tried
    cosine = torch.nn.functional.cosine_similarity
    by_smoothest = (x - x.mean(0)) @ smoothest + mean
    assert cosine(found(features), embeddings.items).mean() > cosine(by_smoothest, embeddings.items).mean() + 0.01


def test_an_item_that_lacks_a_modality_gets_a_finite_vector() -> None:
    embeddings, train, valid, features = world()
    newcomers = choose_newcomers(embeddings, train, valid, features)
    lacking = {"text": features["text"][:2], "image": torch.full((2, 9), torch.nan)}
    assert newcomers.embed_items(lacking).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_features_of_any_precision_are_taken_and_those_beyond_float32_refused(dtype: torch.dtype) -> None:
    embeddings, train, valid, features = world()
    newcomers = choose_newcomers(embeddings, train, valid, features)
    given = {name: rows[:3].to(dtype) for name, rows in features.items()}
    expected = newcomers.embed_items({name: rows.float() for name, rows in given.items()})
    assert torch.equal(newcomers.embed_items(given), expected)
    given["image"] = torch.full((3, 9), 1e300, dtype=torch.float64).to(dtype)
    with pytest.raises(InputError, match=r"modality 'image': found a number beyond; expected numbers within ±3\.4"):
        newcomers.embed_items(given)


def test_without_features_there_is_no_map_of_items() -> None:
    embeddings, train, valid, _ = world()
    assert choose_newcomers(embeddings, train, valid, {}).item_map is None


@pytest.mark.parametrize("fits_clicks", [False, True])
def test_given_settings_are_not_chosen_again(fits_clicks: bool) -> None:
    embeddings, train, valid, features = world()
    settings = MapSettings(0.0, 1.0, 0.1, fits_clicks)
    assert choose_newcomers(embeddings, train, valid, features, settings).user_map.settings == settings


def test_a_map_that_fits_clicks_is_chosen_if_trained_users_do_not_follow_from_their_histories() -> None:
    embeddings, train, valid, _ = world()
    noise = torch.randn(embeddings.users.shape, generator=torch.Generator().manual_seed(2))
    assert not choose_newcomers(embeddings, train, valid, {}).user_map.settings.fits_clicks
    assert choose_newcomers(Embeddings(noise, embeddings.items), train, valid, {}).user_map.settings.fits_clicks


def test_wide_features_are_projected() -> None:
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(40, 3, generator=generator) @ torch.randn(3, 700, generator=generator)
    space = FeatureSpace.of({"image": rows})
    x = space({"image": rows})
    assert x.shape == (40, 512)
    torch.testing.assert_close((x * x).sum(1), torch.ones(40))  # the directions hold everything that varies


@pytest.mark.parametrize("kind", ["linear", "nearest", "average"])
def test_a_map_of_items_is_restored_from_its_tensors(kind: str) -> None:
    embeddings, train, valid, features = world()
    newcomers = choose_newcomers(embeddings, train, valid, features)
    space = FeatureSpace.of(features)
    x = space(features)
    linear = Linear(torch.randn(x.shape[1], embeddings.items.shape[1]), torch.randn(embeddings.items.shape[1]))
    nearest = Nearest(x, embeddings.items, 5)
    average = Average(linear, nearest)
    torch.testing.assert_close(average(x), torch.stack([linear(x), nearest(x)]).mean(0))
    predictor = {"linear": linear, "nearest": nearest, "average": average}[kind]
    newcomers = Newcomers(newcomers.user_map, ItemMap(space, predictor, 1.5))
    again = Newcomers.from_tensors(newcomers.tensors())
    assert torch.equal(again.embed_items(features), newcomers.embed_items(features))
