from collections.abc import Callable
from dataclasses import replace

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


def test_runs_that_differ_in_more_than_their_seed_have_rows_of_their_own(shop: Dataset, trained: Trained) -> None:
    first = trained("VBPR")
    one_modality = replace(shop, features={"text": shop.features["text"]}, present={"text": shop.present["text"]})
    warm = train("VBPR", shop, settings=Settings(epochs=3, device="cpu", seed=1), init=first)
    runs = {"a": first, "again": trained("VBPR"), "text": trained("VBPR", 1, one_modality), "warm": warm}
    outcome = outcome_of_runs("mine", runs, ["recall@20"])
    assert [row.label for row in outcome.rows] == ["a", "again", "text", "warm"]


def test_a_row_shows_its_settings_what_the_model_chose_and_the_modalities_it_used(shop: Dataset) -> None:
    settings = Settings(epochs=2, device="cpu", normalise="rows", seed=5)
    runs = {"vbpr": train("VBPR", shop, settings=settings), "prism": train("Prism", shop, settings=settings)}
    runs["mf"] = train("MF-BPR", shop, settings=settings)
    rows = outcome_of_runs("mine", runs, ["recall@20"]).rows
    assert rows[0].settings["normalise"] == "rows"
    assert rows[0].settings["epochs"] == 2
    assert "seed" not in rows[0].settings
    assert rows[1].settings["rank"] == runs["prism"].chosen["rank"]
    assert [row.cells[0].modalities for row in rows] == [("image", "text"), ("image", "text"), ()]


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
