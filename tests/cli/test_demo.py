"""`prismrec demo` twice, and after an interruption."""

from pathlib import Path

from typer.testing import CliRunner, Result

from prismrec.cli import app

SMALL = ["--users", "60", "--items", "40", "--interactions", "500"]


def demo(out: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["demo", "--out", str(out), *SMALL, *words])


def test_a_demo_replaces_an_earlier_or_interrupted_one_if_asked(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    assert demo(out).exit_code == 0
    (out / "runs/LGMRec/metrics.json").unlink()
    refused = demo(out)
    assert refused.exit_code == 1
    assert "--overwrite to replace an earlier demo" in str(refused.exception)
    again = demo(out, "--overwrite")
    assert again.exit_code == 0
    assert (out / "runs/LGMRec/metrics.json").exists()


def test_a_folder_that_is_no_demo_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("precious")
    assert demo(tmp_path, "--overwrite").exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_off_a_terminal_it_prints_one_line_per_model(tmp_path: Path) -> None:
    lines = [line for line in demo(tmp_path / "demo").stderr.splitlines() if "epoch" in line]
    assert len(lines) == 4  # most-popular is not trained
