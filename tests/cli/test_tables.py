"""Tables that commands print."""

import pytest
from rich.table import Table

from prismrec.cli.tables import literal, print_table


def test_in_a_pipe_no_cell_is_cut(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    table = Table("run", "model")
    path = "runs/" + "x" * 150
    table.add_row(path, "y" * 150)
    print_table(table)
    shown = capsys.readouterr().out
    assert path in shown
    assert "y" * 150 in shown


@pytest.mark.parametrize("text", ["[red]a[/red]", "\x1b[0m\u202e", "[/b]"])
def test_text_is_shown_as_it_is(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("title", box=None)
    table.add_row(literal(text))
    print_table(table)
    assert text.encode("unicode_escape").decode() in capsys.readouterr().out
