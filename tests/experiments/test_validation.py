import json
import warnings
from pathlib import Path

import numpy as np
import pytest

import prismrec
from prismrec.data import Dataset
from prismrec.demo import ShopConfig, make_shop
from prismrec.errors import InputError, ParameterError
from prismrec.evaluation import Validation
from prismrec.experiments.validation import validation_sample
from prismrec.records import Settings
from prismrec.runs import Run
from prismrec.types import Interactions


@pytest.fixture(scope="module")
def shop() -> Dataset:
    return make_shop(ShopConfig(users=120, items=80, interactions=1200)).dataset()


def coverage(validation: Validation) -> float:
    """The share of items that occur in a list of five."""
    return len(validation.rank(5).items.unique()) / validation.train.num_items


def test_a_metric_of_the_caller_chooses_the_epoch_and_is_recorded_by_its_name(shop: Dataset, tmp_path: Path) -> None:
    scores = iter([0.3, 0.7, 0.5, 0.4])

    def drawn(validation: Validation) -> float:
        return next(scores)

    run = prismrec.train("MF-BPR", shop, settings=Settings(epochs=4), metric=drawn, out=tmp_path / "run")
    assert [record.valid["drawn"] for record in run.history] == [0.3, 0.7, 0.5, 0.4]
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["best_epoch"] == 2
    loaded = Run.load(tmp_path / "run").manifest
    assert loaded.settings.metric == "drawn"
    assert loaded.custom.metric == "drawn"
    assert {"recall@20", "ndcg@10"} <= run.history[0].valid.keys()


def test_a_metric_of_the_caller_gets_the_lists_without_training_items(shop: Dataset) -> None:
    seen = []

    def noting(validation: Validation) -> float:
        seen.append(validation)
        return coverage(validation)

    prismrec.train("MF-BPR", shop, settings=Settings(epochs=1), metric=noting)
    [validation] = seen
    lists = validation.rank(5).items.numpy()
    assert lists.shape == (len(validation.users), 5)
    for user, items in zip(validation.users, lists, strict=True):
        assert not np.isin(items, shop.train.items_of(user)).any()
    assert validation.evaluate(["recall"], [20])["recall@20"] > 0


@pytest.mark.parametrize("seed", [0, 1])
def test_a_validation_ranks_for_a_sample_that_is_the_same_for_all_seeds(shop: Dataset, seed: int) -> None:
    seen = []

    def noting(validation: Validation) -> float:
        seen.append(validation.truth)
        return coverage(validation)

    settings = Settings(epochs=2, seed=seed, validation_users=7)
    with pytest.warns(UserWarning, match="validations rank items for 7 of 120 users"):
        run = prismrec.train("MF-BPR", shop, settings=settings, metric=noting)
    users = np.unique(seen[0].users)
    assert len(users) == 7
    for truth in seen:
        np.testing.assert_array_equal(np.unique(truth.users), users)
        assert len(truth) == shop.valid.user_degrees[users].sum()
    assert len(run.evaluate("valid").users) == 120


def test_large_data_have_a_sample_of_users_and_others_all() -> None:
    def sample(users: int, items: int) -> int:
        valid = Interactions.from_pairs(np.arange(users), np.zeros(users), 300_000, items)
        with warnings.catch_warnings(record=True) as notes:
            warnings.simplefilter("always")
            sampled = len(validation_sample(valid, Settings()))
        assert bool(notes) == (sampled < users)
        return sampled

    assert sample(300_000, 10_000) == 100_000
    assert sample(100_000, 10_000) == 100_000
    assert sample(300_000, 500_000) == 10_000
    assert sample(9_000, 500_000) == 9_000


def interactions_within(value: object, seen: set[int] | None = None) -> list[Interactions]:
    """All interactions that are reachable from a value through attributes, containers and closures."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return []
    seen.add(id(value))
    if isinstance(value, Interactions):
        return [value]
    parts: list[object] = []
    if isinstance(value, dict):
        parts += value.values()
    elif isinstance(value, list | tuple | set):
        parts += value
    parts += getattr(value, "__dict__", {}).values()
    parts += [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
    parts += [getattr(value, name) for name in ("__self__", "func", "args", "keywords") if hasattr(value, name)]
    return [found for part in parts for found in interactions_within(part, seen)]


def test_the_test_split_is_not_reachable_from_callbacks_and_metrics(shop: Dataset) -> None:
    received: list[object] = []

    class Receiving(prismrec.Callback):
        def on_start(self, start: object) -> None:
            received.append(start)

        def on_epoch(self, epoch: object) -> None:
            received.append(epoch)

        def on_end(self, end: object) -> None:
            received.append(end)

    def receiving(validation: Validation) -> float:
        received.append(validation)
        return 0.0

    prismrec.train("MF-BPR", shop, settings=Settings(epochs=2), metric=receiving, callbacks=[Receiving()])
    found = interactions_within(received)
    assert any(each is shop.valid for each in found)
    assert not any(each is shop.test for each in found)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "high", "0.5", [0.1], 10**400])
def test_a_score_that_is_no_number_is_refused(shop: Dataset, value: object) -> None:
    def broken(validation: Validation) -> object:
        return value

    with pytest.raises(ParameterError, match=r"metric: found .* from broken; expected a finite number"):
        prismrec.train("MF-BPR", shop, settings=Settings(epochs=1), metric=broken)


def test_a_metric_without_a_name_or_beside_another_one_is_refused(shop: Dataset) -> None:
    with pytest.raises(ParameterError, match="a function with a name"):
        prismrec.train("MF-BPR", shop, metric=lambda validation: 0.0)
    with pytest.raises(ParameterError, match="'coverage', and 'ndcg@10' in settings"):
        prismrec.train("MF-BPR", shop, settings=Settings(metric="ndcg@10"), metric=coverage)


def test_the_name_of_a_metric_of_the_caller_is_no_built_in_metric(shop: Dataset) -> None:
    with pytest.raises(InputError, match="metric: found 'coverage'"):
        prismrec.train("MF-BPR", shop, settings=Settings(metric="coverage"))


@pytest.mark.parametrize(
    "metric", ["recall@²", "recall@٣", "recall@007", "recall@0", "recall@", "recall", "recall@9999999999"]
)
def test_a_cutoff_is_a_number_in_ascii_digits(metric: str, shop: Dataset) -> None:
    with pytest.raises(InputError, match=f"metric: found '{metric}'"):
        prismrec.train("MF-BPR", shop, settings=Settings(metric=metric))


@pytest.mark.parametrize("k", ["5", 2.5, None, True])
def test_the_length_of_a_list_is_a_whole_number(shop: Dataset, k: object) -> None:
    def broken(validation: Validation) -> float:
        return len(validation.rank(k).items)

    with pytest.raises(ParameterError, match="k: found an object of type"):
        prismrec.train("MF-BPR", shop, settings=Settings(epochs=1), metric=broken)
