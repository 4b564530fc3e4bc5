from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from experiments.tables.examples import run, table
from prismrec.data import Dataset
from prismrec.evaluation import compare, holm
from prismrec.experiments.tables.cells import Values
from prismrec.experiments.tables.grids import claims_grid, elsewhere_grid, group_grids, result_grids
from prismrec.experiments.tables.library import papers, read_table
from prismrec.experiments.tables.outcome import Users, compare_with_reference, judge, mean_over_seeds
from prismrec.experiments.tables.sources import Source, as_source

RNG = np.random.default_rng(0)
BASE: Values = RNG.random(400)
NOISE = 0.05 * RNG.standard_normal((3, 400))


def users(**means: float) -> Mapping[str, Users]:
    """Metrics of 400 users by label, whose means differ from each other as given."""
    return {
        label: {"recall@20": BASE + mean + NOISE[n], "ndcg@20": BASE + NOISE[n]}
        for n, (label, mean) in enumerate(means.items())
    }


@pytest.mark.parametrize(
    ("means", "verdict", "counts"),
    [
        ({"popular": 0.0, "MF": 0.0, "VBPR": 0.1}, "holds", (2, 0, 0)),
        ({"popular": 0.0, "MF": 0.1, "VBPR": 0.0}, "does not hold", (0, 1, 1)),
        ({"popular": 0.0, "MF": 0.2, "VBPR": 0.1}, "holds in part", (1, 0, 1)),
        ({"popular": 0.0, "MF": 0.0, "VBPR": 0.0}, "undecided", (0, 2, 0)),
        ({"popular": 0.0, "MF": 0.1, "VBPR": 0.1}, "holds in part", (1, 1, 0)),
    ],
)
def test_a_claim_is_judged_by_paired_tests(means: dict[str, float], verdict: str, counts: tuple[int, int, int]) -> None:
    (found,) = judge(table(), users(**means), "shop")
    assert (found.verdict, found.counts) == (verdict, counts)


def test_a_claim_about_rows_that_were_not_run_is_not_judged() -> None:
    assert judge(table(), users(popular=0.0, MF=0.0), "shop") == ()


def test_the_tests_are_those_of_the_library_adjusted_for_all_rows_and_metrics() -> None:
    values = users(popular=0.0, MF=0.01, VBPR=0.02)
    tests = compare_with_reference(table(), values, "shop")
    assert [(test.label, test.other, test.metric) for test in tests] == [
        ("popular", "VBPR", "recall@20"),
        ("popular", "VBPR", "ndcg@20"),
        ("MF", "VBPR", "recall@20"),
        ("MF", "VBPR", "ndcg@20"),
    ]
    for test in tests:
        expected = compare(values[test.label][test.metric], values["VBPR"][test.metric], alternative="two-sided")
        assert (test.difference, test.interval, test.p) == (expected.difference, expected.interval, expected.t_p)
    assert [test.p_holm for test in tests] == holm([test.p for test in tests]).tolist()


def test_users_are_averaged_over_seeds() -> None:
    first, second = users(MF=0.0)["MF"], users(MF=0.5)["MF"]
    assert mean_over_seeds([first, second])["recall@20"] == pytest.approx(first["recall@20"] + 0.25)


def test_published_values_stand_beside_ours_on_the_same_data_and_apart_on_other_data(
    source: Source, tmp_path: Path
) -> None:
    outcome = run(table(), source, tmp_path)
    (grid,) = result_grids(outcome)
    assert grid.header == (
        *("row", "recall@20 published", "recall@20", "difference", "ndcg@20 published", "ndcg@20", "difference"),
    )
    line = next(row for row in grid.rows if row[0] == "MF")
    ours = outcome.rows[1].metrics["recall@20"].mean
    assert line[1] == "0.2000"
    assert line[3] == f"{ours - 0.2:+.4f} ({ours / 0.2 - 1:+.1%})"
    assert next(row for row in grid.rows if row[0] == "VBPR")[1] == "–"
    (elsewhere,) = elsewhere_grid(outcome)
    assert elsewhere.rows == (("MF", "Paper (2026), Table 1", "Other", "0.3000", "0.2000"),)


def test_a_value_on_data_with_other_counts_is_never_compared(shop: Dataset, tmp_path: Path) -> None:
    paper = table().paper
    data = {"mine": paper.data["mine"].model_copy(update={"users": 61}), "other": paper.data["other"]}
    other = table(paper=paper.model_copy(update={"data": data}))
    outcome = run(other, as_source(shop, other), tmp_path)
    (grid,) = result_grids(outcome)
    assert grid.header == ("row", "recall@20", "ndcg@20")
    assert len(elsewhere_grid(outcome)[0].rows) == 2


def test_groups_of_users_partition_the_evaluated_ones(source: Source, tmp_path: Path) -> None:
    outcome = run(table(display="groups", groups=3), source, tmp_path)
    row = outcome.rows[2]
    counts = {label: group["users"] for label, group in row.groups.items()}
    assert sum(counts.values()) == (source.dataset.test.user_degrees > 0).sum()
    mean = sum(group["users"] * group["recall@20"] for group in row.groups.values()) / sum(counts.values())
    assert mean == pytest.approx(row.metrics["recall@20"].mean)
    assert len(group_grids(outcome)[0].rows) == 3


def test_models_are_compared_with_what_other_papers_report_on_data_of_the_same_title(
    shop: Dataset, tmp_path: Path
) -> None:
    lgmrec = read_table("lgmrec-table2")
    counts = {"users": 60, "items": 40, "interactions": 600}
    data = {**papers()["lgmrec"].data, "baby": papers()["lgmrec"].data["baby"].model_copy(update=counts)}
    fake = lgmrec.model_copy(update={"paper": lgmrec.paper.model_copy(update={"data": data})})
    outcome = run(fake, as_source(shop, fake), tmp_path, only=("LightGCN",))
    sources = {each.source: each.values["recall@20"] for each in outcome.rows[0].published if each.data == "Baby"}
    assert sources["LGMRec (AAAI 2024), Table 2"] == 0.0732
    assert sources["LATTICE (MM 2021), Table 2"] == 0.0698


def test_claims_are_listed_with_their_verdicts(source: Source, tmp_path: Path) -> None:
    outcome = run(table(), source, tmp_path)
    (grid,) = claims_grid(outcome)
    assert grid.rows[0][:2] == ("VBPR is best.", "demo")
