from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import prismrec
from prismrec.data import Dataset
from prismrec.demo import ShopConfig, make_shop
from prismrec.errors import InputError
from prismrec.evaluation import holm
from prismrec.records import Settings
from prismrec.runs import Run, compare_runs
from prismrec.types import Interactions, Vocabulary

METRICS = ["recall@20", "ndcg@5"]


@pytest.fixture(scope="module")
def shop() -> Dataset:
    return make_shop(ShopConfig(users=200, items=80, interactions=2500)).dataset()


@pytest.fixture(scope="module")
def runs(shop: Dataset) -> list[Run]:
    settings = Settings(epochs=3)
    names = ["most-popular", "MF-BPR", "LightGCN"]
    return [prismrec.train(name, shop, {"learning_rate": 0.05}, settings) for name in names]


def test_each_run_is_compared_with_the_first_one_user_by_user(runs: list[Run]) -> None:
    table = compare_runs(runs, METRICS)
    evaluations = [run.evaluate("test", cutoffs=[5, 20]) for run in runs]
    assert table.num_users == evaluations[0].num_users
    assert [(each.run, each.metric) for each in table.comparisons] == [
        (number, metric) for number in (1, 2) for metric in METRICS
    ]
    raw = []
    for each in table.comparisons:
        gain = evaluations[each.run].per_user[each.metric] - evaluations[0].per_user[each.metric]
        assert each.tests.difference == pytest.approx(gain.mean())
        raw.append(stats.ttest_1samp(gain, 0).pvalue)
    np.testing.assert_allclose([each.t_p_holm for each in table.comparisons], holm(raw))
    wilcoxon = holm([each.tests.wilcoxon_p for each in table.comparisons])
    np.testing.assert_allclose([each.wilcoxon_p_holm for each in table.comparisons], wilcoxon)
    assert table.means[1] == {metric: evaluations[1][metric] for metric in METRICS}


def test_a_run_does_not_differ_from_itself(runs: list[Run]) -> None:
    table = compare_runs([runs[1], runs[1]], split="valid")
    assert {(each.tests.difference, each.t_p_holm, each.wilcoxon_p_holm) for each in table.comparisons} == {(0, 1, 1)}


def reversed_pairs(pairs: Interactions) -> Interactions:
    """Other pairs of the same sizes."""
    return Interactions.from_pairs(pairs.num_users - 1 - pairs.users, pairs.items, pairs.num_users, pairs.num_items)


def test_runs_on_other_data_or_another_split_are_refused(runs: list[Run]) -> None:
    first = runs[0]
    renamed = Vocabulary([f"x{name}" for name in first.users.ids], "user")
    for other, message in (
        (replace(first, users=renamed), "run 2: found other users"),
        (replace(first, items=Vocabulary([f"x{name}" for name in first.items.ids], "item")), "other items"),
        (replace(first, train=reversed_pairs(first.train)), "other interactions in the split 'train'"),
        (replace(first, valid=reversed_pairs(first.valid)), "other interactions in the split 'valid'"),
        (replace(first, test=reversed_pairs(first.test)), "other interactions in the split 'test'"),
        (replace(first, test=first.valid), "other interactions in the split 'test'"),
    ):
        with pytest.raises(InputError, match=message):
            compare_runs([first, other])


@pytest.mark.parametrize("metric", ["recall", "auc@20", "recall@0", "recall@²", "recall@20@5"])
def test_unknown_metrics_are_refused(runs: list[Run], metric: str) -> None:
    with pytest.raises(InputError, match="metric: found"):
        compare_runs(runs, [metric])


def test_a_single_run_or_user_is_refused(runs: list[Run]) -> None:
    with pytest.raises(InputError, match="runs: found 1; expected two or more"):
        compare_runs(runs[:1])
    test = runs[0].test
    one = Interactions.from_pairs(test.users[:1], test.items[:1], test.num_users, test.num_items)
    with pytest.raises(InputError, match="1 user with interactions"):
        compare_runs([replace(run, test=one) for run in runs])
