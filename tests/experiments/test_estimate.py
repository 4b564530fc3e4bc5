"""What a search will take, measured before it starts."""

from pathlib import Path

import numpy as np
import pytest

import prismrec
from prismrec.data import Dataset, SplitSpec
from prismrec.errors import InputError
from prismrec.experiments.estimate import estimate
from prismrec.experiments.search import Search
from prismrec.experiments.tune import make_search
from prismrec.records import Settings


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    rng = np.random.default_rng(0)
    pairs = [(f"u{user}", f"i{item}") for user in range(40) for item in rng.permutation(30)[:10]]
    return prismrec.dataset(pairs, split=SplitSpec())


def make(dataset: Dataset, model: str, space: dict[str, object], **options: object) -> Search:
    settings = Settings(device="cpu", **options)
    return make_search(model, dataset, space, Path("none"), {"embedding_size": 8}, settings)


def test_combinations_that_differ_in_rates_alone_are_measured_once(dataset: Dataset) -> None:
    found = estimate(make(dataset, "LightGCN", {"layers": [1, 2], "learning_rate": [0.1, 0.2, 0.3]}))
    assert found.trials == 6
    assert len(found.epoch_seconds) == 2
    assert all(0 < seconds < 30 for seconds in found.epoch_seconds)
    many = estimate(make(dataset, "MF-BPR", {"batch_size": list(range(64, 90)), "weight_decay": [0.0, 0.1]}))
    assert (many.trials, len(many.epoch_seconds)) == (50, 6)


@pytest.mark.parametrize(
    ("options", "epochs"),
    [
        ({}, (51, 1000)),
        ({"patience": 5}, (6, 1000)),
        ({"patience": 5, "validate_every": 3}, (18, 1000)),
        ({"validate_every": 10}, (110, 1000)),
        ({"epochs": 20}, (20, 20)),
    ],
)
def test_early_stopping_says_how_many_epochs_there_may_be(
    dataset: Dataset, options: dict, epochs: tuple[int, int]
) -> None:
    assert estimate(make(dataset, "most-popular", {"batch_size": [64]}, **options)).epochs == epochs


def test_a_combination_that_cannot_be_trained_is_left_out(dataset: Dataset) -> None:
    assert len(estimate(make(dataset, "SHT", {"heads": [2, 3], "hyperedges": [4]})).epoch_seconds) == 1
    with pytest.raises(InputError, match="not a multiple of heads 3"):
        estimate(make(dataset, "SHT", {"heads": [3]}))
