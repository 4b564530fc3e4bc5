"""Tables that commands print."""

import json

import pytest
from rich.table import Table
from typer.testing import CliRunner

from prismrec.cli import app
from prismrec.cli.tables import literal, print_table
from prismrec.models import REGISTRY


def test_in_a_pipe_no_cell_is_cut(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    table = Table("run", "model")
    path = "runs/" + "x" * 150
    table.add_row(path, "y" * 150)
    print_table(table)
    shown = capsys.readouterr().out
    assert path in shown
    assert "y" * 150 in shown


def test_a_width_of_the_user_folds_cells_and_cuts_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    table = Table("run", "model")
    table.columns[0].no_wrap = True
    table.add_row("x" * 150, "y" * 150)
    print_table(table)
    shown = capsys.readouterr().out
    assert (shown.count("x"), shown.count("y")) == (150, 150)


def _tables() -> list[list[str]]:
    """Command lines that print a table without reading a run or data."""
    return [["models"], *[["models", name] for name in REGISTRY], ["data", "sources"], ["reproduce", "--list"]]


@pytest.mark.parametrize("words", _tables(), ids=" ".join)
def test_tables_of_commands_are_whole_in_a_pipe(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0
    rows = [line for line in result.stdout.splitlines() if line.startswith("│")]
    assert rows
    assert all(line.removeprefix("│").lstrip(" ")[:1] not in ("", "│") for line in rows), "a cell goes over two lines"
    assert result.stdout == CliRunner().invoke(app, words, env={"COLUMNS": "5000"}).stdout


@pytest.mark.parametrize("words", _tables(), ids=" ".join)
def test_names_stay_whole_on_a_narrow_terminal(words: list[str]) -> None:
    described = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    if "hyperparameters" in described:
        described = described["hyperparameters"]
    names = [each["name"] for each in described] if isinstance(described, list) else list(described)
    shown = CliRunner().invoke(app, words, env={"COLUMNS": "80"}).stdout
    assert set(names) <= {line.removeprefix("│").partition("│")[0].strip() for line in shown.splitlines()}


@pytest.mark.parametrize("text", ["[red]a[/red]", "\x1b[0m\u202e", "[/b]"])
def test_text_is_shown_as_it_is(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("title", box=None)
    table.add_row(literal(text))
    print_table(table)
    assert text.encode("unicode_escape").decode() in capsys.readouterr().out
