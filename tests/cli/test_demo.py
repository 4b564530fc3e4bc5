"""`prismrec demo` twice, and after an interruption."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
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
    assert len(lines) == 5  # most-popular is not trained


def script(folder: Path) -> Path:
    """A program called prismrec, as pip writes it."""
    folder.mkdir()
    path = folder / "prismrec"
    path.write_text(f"#!{sys.executable}\nfrom prismrec.cli import main\nmain()\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("way", ["on the PATH", "by its path", "beside another on the PATH", "as a module"])
def test_the_command_that_it_prints_works_as_printed(tmp_path: Path, way: str) -> None:
    folder = tmp_path / "my programs"
    program = script(folder)
    path = os.environ["PATH"]
    called = [str(program)]
    if way == "on the PATH":
        path, called = f"{folder}{os.pathsep}{path}", ["prismrec"]
    elif way == "beside another on the PATH":
        other = script(tmp_path / "other")
        other.write_text("#!/bin/sh\nexit 3\n")
        path = f"{other.parent}{os.pathsep}{path}"
    elif way == "as a module":
        called = [sys.executable, "-m", "prismrec"]
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    out = tmp_path / "my demo"
    command = [*called, "demo", "--out", str(out), *SMALL]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    *_, recommend, serve = done.stdout.splitlines()
    recommend = recommend.rpartition("Try: ")[2]
    serve = serve.rpartition("browser: ")[2]
    assert shlex.split(recommend)[: len(called)] == called
    subprocess.run(recommend, shell=True, env=environment, capture_output=True, check=True)
    assert shlex.split(serve) == [*called, "serve", str(out / "runs/LGMRec")]
