"""Users that were not in the training data."""

import numpy as np
import pytest
import torch

from prismrec.errors import InputError
from prismrec.retrieval.newcomers import (
    HistoryMap,
    MapSettings,
    Newcomers,
    fit_click_maps,
    fit_history_maps,
    ridge_regressions,
)
from prismrec.types import Embeddings, Interactions


def random_histories(seed: int, users: int = 40, items: int = 15) -> Interactions:
    rng = np.random.default_rng(seed)
    numbers = np.concatenate([[0], rng.integers(1, users, 160)])
    return Interactions.from_pairs(numbers, rng.integers(0, items, len(numbers)), users, items)


def test_a_map_adds_the_rows_of_the_history() -> None:
    items = torch.randn(15, 3, generator=torch.Generator().manual_seed(0))
    histories = random_histories(1)
    found = HistoryMap(items, torch.eye(3), MapSettings(0, 0.5, 0.1))(histories)
    for user in range(histories.num_users):
        rows = items[torch.from_numpy(histories.items_of(user)).long()]
        expected = rows.sum(0) / max(len(rows), 1) ** 0.5
        torch.testing.assert_close(found[user], expected)


@pytest.mark.parametrize(("discount", "power"), [(0.0, 1.0), (0.5, 0.5), (1.0, 0.5)])
def test_the_regression_finds_a_map_that_made_the_users(discount: float, power: float) -> None:
    train = random_histories(2)
    generator = torch.Generator().manual_seed(3)
    items = torch.randn(15, 3, generator=generator)
    mixing = torch.randn(3, 3, generator=generator)
    degrees = torch.from_numpy(train.item_degrees).float().clamp(min=1)
    rows = items / degrees.pow(discount).unsqueeze(1) @ mixing
    true_map = HistoryMap(rows, mixing, MapSettings(discount, power, 0.1))
    embeddings = Embeddings(true_map(train), items)
    (fitted,) = fit_history_maps(embeddings, train, [1e-9], discount=discount, power=power)
    histories = random_histories(4)
    torch.testing.assert_close(fitted(histories), true_map(histories), rtol=1e-3, atol=1e-4)


def test_ridge_regression_is_the_minimum_of_its_loss() -> None:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(30, 4, generator=generator, dtype=torch.float64) + 1
    y = torch.randn(30, 2, generator=generator, dtype=torch.float64)
    (weight,) = ridge_regressions(x, y, [0.3])
    weight.requires_grad_()
    scale = x.square().sum(0).mean()
    loss = (x @ weight - y).square().sum() + 0.3 * scale * weight.square().sum()
    (gradient,) = torch.autograd.grad(loss, [weight])
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-9)


def test_a_click_map_gives_the_ridge_regression_of_the_clicks_on_the_item_vectors() -> None:
    train = random_histories(9)
    generator = torch.Generator().manual_seed(10)
    embeddings = Embeddings(torch.randn(40, 3, generator=generator), torch.randn(15, 3, generator=generator))
    (fitted,) = fit_click_maps(embeddings, train, [0.3], discount=0.5, power=0.0)
    clicks = torch.from_numpy(train.csr.toarray()).double() * torch.from_numpy(train.item_degrees).double().pow(-0.5)
    items = embeddings.items.double()
    scale = items.square().sum(0).mean()
    padded = torch.cat([items, (0.3 * scale).sqrt() * torch.eye(3)])  # the penalty as three more items
    best = torch.linalg.lstsq(padded, torch.cat([clicks.T, torch.zeros(3, 40)])).solution.T  # [40, 3]
    known = torch.from_numpy(train.user_degrees > 0)
    factor = embeddings.users[known].norm() / best[known].norm()
    torch.testing.assert_close(fitted(train), (factor * best).float(), rtol=1e-4, atol=1e-5)


def test_inputs_of_zero_predict_zero() -> None:
    (weight,) = ridge_regressions(torch.zeros(5, 2), torch.arange(10.0).view(5, 2), [0.1])
    assert torch.equal(weight, torch.zeros(2, 2))


def test_tensors_hold_everything() -> None:
    train = random_histories(6)
    items = torch.randn(15, 3, generator=torch.Generator().manual_seed(7))
    (fitted,) = fit_click_maps(Embeddings(torch.randn(40, 3), items), train, [0.1], discount=0.5, power=0.5)
    newcomers = Newcomers(fitted)
    again = Newcomers.from_tensors(newcomers.tensors())
    assert again.user_map.settings == MapSettings(0.5, 0.5, 0.1, fits_clicks=True)
    assert torch.equal(again.embed_users(train), newcomers.embed_users(train))


def test_histories_of_other_items_are_refused() -> None:
    newcomers = Newcomers(HistoryMap(torch.zeros(15, 3), torch.eye(3), MapSettings(0, 0.5, 0.1)))
    with pytest.raises(InputError, match="14 items"):
        newcomers.embed_users(random_histories(8, items=14))
