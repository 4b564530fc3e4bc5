"""The documents are true: their code runs, their links and commands exist, their generated parts are up to date."""

import json
import re
import runpy
import shlex
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from prismrec.cli import app
from prismrec.cli.training import parse_settings
from prismrec.demo import ShopConfig, write_shop
from prismrec.experiments.tables.library import read_table
from prismrec.experiments.tables.outcome import Outcome
from prismrec.experiments.tables.write import markdown
from prismrec.experiments.train import make_config
from prismrec.models import REGISTRY, ModelConfig
from prismrec.records import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "benchmarks" / "README.md"]
PAGES += sorted((ROOT / "docs").rglob("*.md"))


def code_blocks(text: str, language: str = "") -> list[str]:
    """The fenced blocks of a language."""
    blocks = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", text, flags=re.S | re.M)
    return [body for tag, body in blocks if tag == language]


def import_benchmark(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script of benchmarks/, whose scripts import each other as top-level modules."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    before = set(sys.modules)
    module = __import__(name)
    for added in set(sys.modules) - before:
        if Path(getattr(sys.modules[added], "__file__", None) or "/").parent == ROOT / "benchmarks":
            monkeypatch.delitem(sys.modules, added)
    return module


def test_the_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shop(tmp_path / "shop", ShopConfig(users=150, items=90, interactions=1500))
    monkeypatch.chdir(tmp_path)
    blocks = code_blocks(README, "python")
    assert len(blocks) == 1
    assert len([line for line in blocks[0].splitlines() if line.strip()]) <= 6
    example = blocks[0].replace('"u0001"', '"u001"').replace("epochs=30", "epochs=2")
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert re.match(r"0\.\d+\n", printed)
    assert "title" in printed


def test_the_notebook_runs_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = code_blocks((ROOT / "docs" / "data.md").read_text(encoding="utf-8"), "python")
    notebook = next(block for block in blocks if "prismrec.dataset(" in block)
    assert len(notebook.splitlines()) <= 20
    names: dict[str, Any] = {}
    exec(compile(notebook, "docs/data.md", "exec"), names)
    assert "title" in capsys.readouterr().out
    assert list(names["best"].columns) == ["user", "rank", "item", "score", "title"]
    assert names["item_vectors"].shape[0] == len(names["item_ids"]) == 100
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        linked = page.parent / target if target else page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), f"{target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page: Path) -> None:
    known = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^prismrec ([a-z]+)", "\n".join(code_blocks(text)), flags=re.M)
    indented = re.findall(r"^    prismrec ([a-z]+)", text, flags=re.M)
    inline = re.findall(r"`prismrec ([a-z]+)", text)
    assert {*fenced, *indented, *inline} <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_named_in_code_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    scripts = re.findall(r"python ((?:benchmarks|docs)/\w+\.py)", text)
    tests = re.findall(r"\b(tests/[\w/]+\.py)", text)
    for name in {*scripts, *tests} - {"tests/models/test_name.py"}:
        assert (ROOT / name).exists(), name


def test_the_recipe_for_a_model_names_what_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    contract = code_blocks(text, "python")[1]
    exec(compile(re.sub(r"^ {3}", "", contract, flags=re.M), "CONTRIBUTING.md", "exec"), {"Name": REGISTRY["MF-BPR"]})
    for name in re.findall(r"`(src/prismrec/[\w/]+\.py)`", text):
        assert name.endswith("models/name.py") or (ROOT / name).exists(), name


def test_the_training_page_lists_shared_hyperparameters_and_settings() -> None:
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    hyperparameters = {name: field.default for name, field in ModelConfig.model_fields.items()}
    settings = {f"--{name.replace('_', '-')}": field.default for name, field in Settings.model_fields.items()}
    for name, default in {**hyperparameters, **settings}.items():
        shown = f"`{default}`" if isinstance(default, str) else str(default)
        assert f"| `{name}` | {shown} |" in text, name


def test_the_readme_lists_every_page_of_docs() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"[docs/{page.name}]" not in text] == []


def test_model_pages_are_up_to_date() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "make_models.py"))
    made = script["pages"]()
    assert set((ROOT / "docs" / "models").glob("*.md")) < set(made)
    for path, text in made.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is stale: python docs/make_models.py"


@pytest.mark.parametrize("script", sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py")))
def test_benchmarks_import(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert import_benchmark(script, monkeypatch).__doc__


def test_the_performance_page_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    made = import_benchmark("performance_page", monkeypatch).performance_page()
    stored = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert stored == made, "python benchmarks/peer.py page > docs/performance.md"


def test_the_results_page_is_up_to_date() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_results.py"))["page"]()
    assert (ROOT / "docs" / "results.md").read_text(encoding="utf-8") == made, "python docs/make_results.py"


def test_every_stored_table_is_on_the_results_page_and_can_be_computed_again() -> None:
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for path in (ROOT / "docs" / "tables").glob("*.json"):
        outcome = Outcome.model_validate_json(path.read_text(encoding="utf-8"))
        assert f"(tables/{path.stem}.md)" in page
        assert path.with_suffix(".md").read_text(encoding="utf-8") == markdown(outcome)
        labels = {row.label: row for row in read_table(outcome.name).all_rows}
        for row in outcome.rows:
            assert make_config(row.model, row.settings)
            assert labels[row.label].model == row.model


def test_the_tables_of_the_scaling_page_are_up_to_date(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    for name in ("scale", "large"):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", "table", "--work", str(ROOT / "benchmarks")])
        script = import_benchmark(name, monkeypatch)
        script.run_command(None, (script.table,), script.add_options)
        assert capsys.readouterr().out in stored, name


def test_the_table_of_stopping_rules_is_up_to_date(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["stopping.py", "table", "--work", str(ROOT / "benchmarks")])
    script = import_benchmark("stopping", monkeypatch)
    script.run_command(None, (script.table,), script.add_options)
    assert capsys.readouterr().out in (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


def test_the_command_of_each_earlier_result_gives_its_configuration() -> None:
    train_command = runpy.run_path(str(ROOT / "docs" / "make_results.py"))["train_command"]
    for row in json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8")):
        words = shlex.split(train_command(row))
        settings = [word for option, word in pairwise(words) if option == "--set"]
        assert words[words.index("--patience") + 1] == str(row["patience"])
        expected = [] if row["settings"] == "defaults" else row["settings"].split(",")
        assert make_config(row["model"], parse_settings(settings)) == make_config(
            row["model"], parse_settings(expected)
        )
