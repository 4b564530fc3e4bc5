from collections.abc import Callable

import pytest

from prismrec.data import Dataset
from prismrec.demo import ShopConfig, make_shop
from prismrec.errors import InputError
from prismrec.experiments.tables.report import render_report
from prismrec.experiments.tables.runs import outcome_of_runs
from prismrec.experiments.train import train
from prismrec.records import Settings
from prismrec.runs import Run, compare_runs

Trained = Callable[..., Run]


@pytest.fixture(scope="module")
def trained(shop: Dataset) -> Trained:
    return lambda model, seed=0, data=shop: train(model, data, settings=Settings(epochs=3, device="cpu", seed=seed))


def test_runs_that_differ_only_in_their_seed_share_a_row(trained: Trained) -> None:
    runs = {"a": trained("MF-BPR", 0), "b": trained("VBPR"), "c": trained("MF-BPR", 1)}
    outcome = outcome_of_runs("mine", runs, ["recall@20", "ndcg@7"])
    assert [row.label for row in outcome.rows] == ["MF-BPR, 2 seeds", "b"]
    values = [runs[name].evaluate("test", cutoffs=[20])["recall@20"] for name in ("a", "c")]
    assert outcome.rows[0].metrics["recall@20"].values == tuple(values)
    assert outcome.rows[0].metrics["recall@20"].sd == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    page = render_report(outcome)
    assert page.count("<svg") == 2
    assert "The paper" not in page


def test_two_runs_are_compared_as_the_table_of_runs_compares_them(trained: Trained) -> None:
    first, second = trained("MF-BPR"), trained("VBPR")
    outcome = outcome_of_runs("mine", {"a": first, "b": second}, ["recall@20", "ndcg@20"])
    expected = compare_runs([first, second]).comparisons
    assert [(test.metric, test.difference, test.interval, test.p_holm) for test in outcome.tests] == [
        (each.metric, each.tests.difference, each.tests.interval, each.t_p_holm) for each in expected
    ]


def test_runs_on_other_data_are_refused(trained: Trained) -> None:
    other = make_shop(ShopConfig(users=50, items=40, interactions=500)).dataset()
    with pytest.raises(InputError, match="other users"):
        outcome_of_runs("mine", {"a": trained("MF-BPR"), "b": trained("MF-BPR", data=other)}, ["recall@20"])
