"""Data that leave nothing to learn from: every model is trained, or refuses them in one line."""

import numpy as np
import polars as pl
import pytest

import prismrec
from prismrec.data import Dataset
from prismrec.errors import InputError
from prismrec.models import REGISTRY
from prismrec.records import Settings

SHORT = Settings(epochs=2, device="cpu")
PAIRS = {
    "one item": [(user, 0) for user in range(6)],
    "one user": [(0, item) for item in range(6)],
    "every user has every item": [(user, item) for user in range(4) for item in range(4)],
    "one pair": [(0, 0)],
}


def degenerate(pairs: list[tuple[int, int]], scale: float = 1.0) -> Dataset:
    users, items = np.array(pairs).T
    table = {"user": users, "item": items, "split": ["train"] * len(pairs)}
    names = np.unique(items)
    features = np.random.default_rng(0).random((len(names), 3)).astype(np.float32)
    return prismrec.dataset(pl.DataFrame(table), features={"image": (names, features * np.float32(scale))})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", list(REGISTRY))
@pytest.mark.parametrize("pairs", PAIRS.values(), ids=list(PAIRS))
def test_data_with_nothing_to_learn_are_trained_or_refused_in_one_line(
    model: str, pairs: list[tuple[int, int]]
) -> None:
    data = degenerate(pairs)
    try:
        run = prismrec.train(model, data, settings=SHORT)
    except InputError as refusal:
        assert "\n" not in str(refusal)
        return
    assert run.embeddings.items.isfinite().all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", list(REGISTRY))
@pytest.mark.parametrize("seed", [0, 1])
def test_features_near_the_largest_number_are_refused_or_leave_finite_vectors(model: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = [(user, item) for user in range(12) for item in rng.permutation(20)[:4].tolist()]
    data = degenerate([*pairs, *[(0, item) for item in range(20)]], scale=3e38)
    try:
        run = prismrec.train(model, data, settings=SHORT.model_copy(update={"seed": seed}))
    except InputError as refusal:
        assert "\n" not in str(refusal)
        return
    assert run.embeddings.users.isfinite().all()
    assert run.embeddings.items.isfinite().all()
