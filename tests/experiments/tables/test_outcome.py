from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prismrec
from experiments.tables.examples import run, table
from prismrec.data import Dataset
from prismrec.evaluation import compare, holm
from prismrec.experiments.tables.cells import Values
from prismrec.experiments.tables.grids import (
    claims_grid,
    elsewhere_grid,
    group_grids,
    others_grid,
    published_protocols,
    result_grids,
)
from prismrec.experiments.tables.library import counts, papers, read_table
from prismrec.experiments.tables.outcome import (
    Measurement,
    Outcome,
    RowOutcome,
    Users,
    compare_with_reference,
    judge,
    mean_over_seeds,
)
from prismrec.experiments.tables.plan import Entry
from prismrec.experiments.tables.published import published_for
from prismrec.experiments.tables.sources import Source, as_source
from prismrec.experiments.tables.write import markdown

RNG = np.random.default_rng(0)
BASE: Values = RNG.random(400)
NOISE = 0.05 * RNG.standard_normal((3, 400))
ONE_METRIC = table(metrics=["recall@20"], claims=[], rows=[{"label": "VBPR", "model": "VBPR"}])


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


def test_a_claim_says_how_many_rows_could_not_be_compared() -> None:
    (found,) = judge(table(), users(MF=0.0, VBPR=0.1), "shop")
    assert (found.verdict, found.counts, found.missing) == ("holds", (1, 0, 0), 1)
    (grid,) = claims_grid(an_outcome(verdicts=(found,)))
    assert grid.rows[0][2] == "1 agree, 0 undecided, 0 disagree, 1 not computed"
    (found,) = judge(table(), users(popular=0.0, MF=0.0, VBPR=0.1), "shop")
    assert found.missing == 0


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
        *("row", "recall@20 published†", "recall@20", "difference", "ndcg@20 published†", "ndcg@20", "difference"),
    )
    assert "† Published under another protocol" in grid.caption
    line = next(row for row in grid.rows if row[0] == "MF")
    ours = outcome.rows[1].metrics["recall@20"].mean
    assert line[1] == "0.2000"
    assert line[3] == f"{ours - 0.2:+.4f} ({ours / 0.2 - 1:+.1%})"
    assert next(row for row in grid.rows if row[0] == "VBPR")[1] == "–"
    (elsewhere,) = elsewhere_grid(outcome)
    assert "† Published under another protocol" in elsewhere.caption
    assert elsewhere.rows == (("MF", "Paper (2026), Table 1", "Other", "0.3000", "0.2000"),)


def test_a_value_on_data_with_other_counts_is_never_compared(shop: Dataset, tmp_path: Path) -> None:
    paper = table().paper
    data = {"mine": paper.data["mine"].model_copy(update={"users": 61}), "other": paper.data["other"]}
    other = table(paper=paper.model_copy(update={"data": data}))
    outcome = run(other, as_source(shop, other), tmp_path)
    (grid,) = result_grids(outcome)
    assert grid.header == ("row", "recall@20", "ndcg@20")
    assert len(elsewhere_grid(outcome)[0].rows) == 2


def test_groups_of_items_are_means_over_the_seeds(source: Source, tmp_path: Path) -> None:
    outcome = run(table(item_groups=2), source, tmp_path, seeds=2)
    for row in outcome.rows:
        assert len(row.item_groups) == 2
        for label, group in row.item_groups.items():
            parts = [cell.item_groups[label]["recall@20"] for cell in row.cells]
            assert group["recall@20"] == pytest.approx(np.mean(parts))
    (grid,) = group_grids(outcome)
    assert [row[0] for row in grid.rows] == [row.label for row in outcome.rows]
    label, group = next(iter(outcome.rows[0].item_groups.items()))
    assert grid.header[1] == f"{label} clicks ({group['users']:.0f} users)"
    assert "number of training users of the held-out item" in markdown(outcome)


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


@pytest.fixture(scope="module")
def as_large_as_tiktok() -> Dataset:
    """Random interactions with the counts of TikTok."""
    users = np.concatenate([np.arange(9308), np.arange(68722 - 9308) % 9308])
    items = (users + 17 * (np.arange(68722) // 9308)) % 6710
    return prismrec.dataset([(f"u{user}", f"i{item}") for user, item in zip(users, items, strict=True)])


def test_values_of_several_papers_for_a_baseline_stand_beside_ours_on_the_same_data(
    as_large_as_tiktok: Dataset,
) -> None:
    lgmrec = read_table("lgmrec-table2")
    source = as_source(as_large_as_tiktok, lgmrec)
    assert counts(source.dataset) == (9308, 6710, 68722)
    row = next(row for row in lgmrec.rows if row.label == "LightGCN")
    found = {each.source: each for each in published_for(Entry(row, source), lgmrec)}
    values = {name: (each.values.get("recall@20"), each.same) for name, each in found.items() if each.data == "TikTok"}
    assert values == {
        "MMRec (commit e775373), one run per model": (0.0922, True),
        "DA-MRS (KDD 2024), logs": (0.0916, True),
        "DiffMM (MM 2024), Table 1": (0.0653, False),
        "LUDP (TOMM 2023), Table 3": (None, False),
    }
    assert all(each.protocol for each in found.values() if each.other_paper)
    ours = {"recall@20": Measurement(mean=0.0934, sd=None, values=(0.0934,))}
    outcome = an_outcome(rows=(a_row("LightGCN", metrics=ours, published=tuple(found.values())),))
    (grid,) = others_grid(outcome)
    assert grid.rows == (
        ("LightGCN", "ours", "0.0934"),
        ("LightGCN", "MMRec (commit e775373), one run per model†", "0.0922"),
        ("LightGCN", "DA-MRS (KDD 2024), logs†", "0.0916"),
    )
    assert result_grids(outcome)[0].header == ("row", "recall@20")  # no value of another paper in the main table
    assert set(published_protocols(outcome)) == {each.source for each in found.values() if each.other_paper}
    text = markdown(outcome)
    assert all(protocol in text for protocol in published_protocols(outcome).values())


def a_row(label: str, **fields: Any) -> RowOutcome:
    return RowOutcome(**{"label": label, "model": "LightGCN", "data": "shop", **fields})


def an_outcome(**fields: Any) -> Outcome:
    facts = {"users": 9308, "items": 6710, "interactions": 68722}
    empty: dict[str, Any] = dict.fromkeys(("cite", "place", "published_protocol", "command", "finished"), "")
    empty |= {name: {} for name in ("protocol", "versions", "missing")}
    empty |= dict.fromkeys(("notes", "tests", "verdicts"), ())
    given = {"metrics": ("recall@20",), "decisive": "recall@20", "reference": None, "data": {"shop": facts}, "rows": ()}
    return Outcome(**{"name": "t", "title": "T", "display": "table", **empty, **given, **fields})


def test_stars_mark_what_the_caption_says_and_nothing_else() -> None:
    """Three rows differ from the reference at p = 0.02 each; after Holm's adjustment for three tests none does."""
    noise = np.random.default_rng(1).standard_normal(50)
    spread = (noise - noise.mean()) / noise.std(ddof=1)
    reference = {"recall@20": np.full(50, 0.5)}
    alone = {"a": {"recall@20": 0.5 + 0.34 + spread}, "VBPR": reference}
    many = {name: {"recall@20": 0.5 + 0.34 + spread} for name in "abc"} | {"VBPR": reference}
    (single,) = compare_with_reference(ONE_METRIC, alone, "shop")
    family = compare_with_reference(ONE_METRIC, many, "shop")
    assert single.p == pytest.approx(0.02, abs=0.002)
    assert single.p_holm == single.p
    assert [test.p for test in family] == [single.p] * 3
    assert [test.p_holm for test in family] == pytest.approx([3 * single.p] * 3)
    measured = {"recall@20": Measurement(mean=0.84, sd=None, values=(0.84,))}
    rows = tuple(a_row(name, metrics=measured) for name in ("a", "VBPR"))
    starred = an_outcome(rows=rows, tests=(single,), reference="VBPR")
    (grid,) = result_grids(starred)
    assert [line[1] for line in grid.rows] == ["0.8400*", "0.8400"]
    assert "* differs from VBPR: paired t-test over users, two-sided, p ≤ 0.05 after Holm's adjustment" in grid.caption
    (grid,) = result_grids(an_outcome(rows=rows, tests=family, reference="VBPR"))
    assert [line[1] for line in grid.rows] == ["0.8400", "0.8400"]
    assert "*" not in grid.caption


def test_the_caption_of_one_data_set_does_not_explain_the_star_of_another() -> None:
    better = {"a": {"recall@20": BASE + 0.1 + NOISE[0]}, "VBPR": {"recall@20": BASE}}
    (test,) = compare_with_reference(ONE_METRIC, better, "shop")
    measured = {"recall@20": Measurement(mean=0.5, sd=None, values=(0.5,))}
    facts = an_outcome().data["shop"]
    rows = tuple(a_row("a", data=data, metrics=measured) for data in ("shop", "other"))
    outcome = an_outcome(rows=rows, tests=(test,), reference="VBPR", data={"shop": facts, "other": facts})
    with_star, without = result_grids(outcome)
    assert "*" in with_star.rows[0][1]
    assert "*" in with_star.caption
    assert "*" not in without.rows[0][1] + without.caption


def test_claims_are_one_family_of_their_own() -> None:
    claims = [
        {"says": "VBPR is best.", "better": ["VBPR"]},
        {"says": "MF is better than popular.", "better": ["MF"], "worse": ["popular"]},
    ]
    values = users(popular=0.0, MF=0.006, VBPR=0.009)
    tests = [test for verdict in judge(table(claims=claims), values, "shop") for test in verdict.tests]
    assert len(tests) == 3
    assert [test.p_holm for test in tests] == holm([test.p for test in tests]).tolist()
    assert max(test.p_holm / test.p for test in tests if test.p_holm < 1) > 1


def test_rows_of_equal_values_do_not_differ() -> None:
    same = {"a": {"recall@20": BASE}, "VBPR": {"recall@20": BASE}}
    (test,) = compare_with_reference(ONE_METRIC, same, "shop")
    assert (test.difference, test.p, test.p_holm) == (0.0, 1.0, 1.0)
    outcome = an_outcome(tests=(test,))
    assert Outcome.model_validate_json(outcome.model_dump_json()) == outcome


def test_a_row_with_fewer_seeds_than_others_says_so(source: Source, tmp_path: Path) -> None:
    run(table(), source, tmp_path, seeds=1)
    run(table(), source, tmp_path, seeds=3, only=("VBPR",))
    outcome = run(table(), source, tmp_path, seeds=3, finished_only=True)
    (grid,) = result_grids(outcome)
    assert grid.header[:2] == ("row", "seeds")
    assert [line[:2] for line in grid.rows] == [("popular", "1"), ("MF", "1"), ("VBPR", "3")]
    values = [cell.test["recall@20"] for cell in outcome.rows[2].cells]
    assert grid.rows[2][3] == f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"
    assert "±" not in grid.rows[1][3]
    assert "Rows without ± have one seed." in grid.caption
    assert markdown(outcome).count("sample standard deviation") == 1


def test_claims_are_listed_with_their_verdicts(source: Source, tmp_path: Path) -> None:
    outcome = run(table(), source, tmp_path)
    (grid,) = claims_grid(outcome)
    assert grid.header == ("claim", "verdict", "comparisons")
    assert grid.rows[0][0] == "VBPR is best."
