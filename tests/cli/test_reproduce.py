import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from prismrec.cli import app
from prismrec.data import write_table
from prismrec.demo import ShopConfig, make_shop
from prismrec.errors import InputError
from prismrec.experiments.tables.library import read_table, table_names


def reproduce(*words: object) -> Result:
    return CliRunner().invoke(app, ["reproduce", *map(str, words)])


@pytest.mark.parametrize("name", table_names())
def test_a_first_look_at_each_table_takes_seconds(name: str, tmp_path: Path) -> None:
    result = reproduce(name, "--quick", "--out", tmp_path, "--json", "--device", "cpu")
    assert result.exit_code == 0, result.output
    outcome = json.loads(result.stdout)
    table = read_table(name)
    computed = [row for row in outcome["rows"] if row["cells"]]
    assert [row["label"] for row in outcome["rows"] if row not in computed] == (
        ["Acoustic"] if name == "ludp-table4" else []
    )
    for row in computed:
        assert set(row["metrics"]) == set(table.metrics)
        assert not any(each["same"] for each in row["published"])
    html = (tmp_path / name / "report.html").read_text(encoding="utf-8")
    assert html.count("<svg") == 2
    assert table.title in html


def test_names_are_listed() -> None:
    assert "LATTICE (MM" in reproduce("--list").stdout
    listed = json.loads(reproduce("--list", "--json").stdout)
    assert [each["name"] for each in listed] == table_names()


def test_own_data_are_named_by_a_folder(tmp_path: Path) -> None:
    write_table(make_shop(ShopConfig(users=60, items=40, interactions=600)).dataset(), tmp_path / "mine")
    words = ["ludp-fig5", "--data", tmp_path / "mine", "--out", tmp_path / "out", "--seeds", 2, "--trials", 0]
    result = reproduce(*words, "--epochs", 2, "--only", "sum", "--only", "attention")
    assert result.exit_code == 0, result.output
    assert "`--dry-run` estimates their time" in result.stderr
    assert "measuring" not in result.stderr
    assert "sum" in result.stdout
    assert "±" in result.stdout
    outcome = json.loads((tmp_path / "out" / "ludp-fig5" / "results.json").read_text(encoding="utf-8"))
    assert list(outcome["data"]) == ["mine"]
    assert [row["label"] for row in outcome["rows"]] == ["attention", "sum"]


def test_what_is_finished_is_reported_without_training(tmp_path: Path) -> None:
    words = ["ludp-fig5", "--quick", "--out", tmp_path, "--device", "cpu"]
    assert reproduce(*words, "--only", "sum").exit_code == 0
    result = reproduce(*words, "--finished", "--json")
    reasons = {row["label"]: row["reason"] for row in json.loads(result.stdout)["rows"]}
    assert reasons == {"attention": "not computed yet", "sum": "", "concatenation": "not computed yet"}


def test_a_dry_run_says_what_is_left_and_ends(tmp_path: Path) -> None:
    words = ["ludp-fig5", "lgmrec-fig5", "--quick", "--out", tmp_path, "--device", "cpu"]
    result = reproduce(*words, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "table ludp-fig5: 3 trainings: 0 finished, 3 left" in result.stderr
    assert "table lgmrec-fig5: 1 training: 0 finished, 1 left" in result.stderr
    assert "GiB of memory per process, enough here for" in result.stderr
    assert "LUDP" in result.stdout
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert reproduce("ludp-fig5", *words[2:], "--only", "sum").exit_code == 0
    found = json.loads(reproduce(*words, "--dry-run", "--json").stdout)
    assert [(each["table"], each["loads"][0]["finished"]) for each in found] == [("ludp-fig5", 1), ("lgmrec-fig5", 0)]
    assert found[0]["seconds"][0] > 0


def test_a_folder_of_something_else_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "ludp-fig5").mkdir()
    (tmp_path / "ludp-fig5" / "thesis.tex").touch()
    result = reproduce("ludp-fig5", "--quick", "--out", tmp_path)
    assert isinstance(result.exception, InputError)
    assert "thesis.tex" in str(result.exception)
    assert not (tmp_path / "cells").exists()


def test_a_failed_row_makes_exit_code_1(tmp_path: Path) -> None:
    text = """
name: mine
title: Mine
paper: {short: Mine, cite: me}
place: Table 1
metrics: [recall@20]
rows:
  - {label: diverges, model: MF-BPR, config: {learning_rate: 1.0e+30}}
  - {label: fine, model: MF-BPR}
"""
    (tmp_path / "mine.yaml").write_text(text)
    result = reproduce(tmp_path / "mine.yaml", "--quick", "--out", tmp_path / "out", "--device", "cpu")
    assert result.exit_code == 1
    assert "diverges, seed 0 failed" in result.stderr
    assert "fine" in (tmp_path / "out" / "mine" / "table.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "where"),
    [
        ((), "NAME"),
        (("nothing",), "NAME"),
        (("ludp-fig5", "--quick", "--data", "x"), "--quick"),
        (("ludp-fig5", "--dry-run", "--finished"), "--dry-run"),
        (("ludp-fig5", "--quick", "--engine", "slurm"), "--engine"),
        (("ludp-fig5", "--quick", "--workers", "2"), "--workers"),
        (("ludp-fig5", "--data", "/absent"), "--data"),
        (("ludp-fig5", "--quick", "--only", "nothing"), "only"),
        (("ludp-fig5", "--quick", "--device", "abacus"), "--device"),
        (("ludp-fig5", "--quick", "--patience", "soon"), "--patience"),
    ],
)
def test_unusable_arguments_are_refused(words: tuple[str, ...], where: str, tmp_path: Path) -> None:
    result = reproduce(*words, "--out", tmp_path)
    assert isinstance(result.exception, InputError)
    assert where in str(result.exception)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
