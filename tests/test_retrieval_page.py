"""The examples of docs/retrieval.md run, one after the other, on a shop with the columns that the page names."""

import re
import shlex
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import prismrec
from prismrec.cli import app
from prismrec.demo import ShopConfig, write_shop
from prismrec.records import Settings

USERS = 1001  # so that there is a user u0001, as in the demo
PAGE = (Path(__file__).parent.parent / "docs" / "retrieval.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    write_shop(folder / "shop", ShopConfig(users=USERS, items=90, interactions=8000))
    data = prismrec.load(folder / "shop")
    prismrec.train("LGMRec", data, settings=Settings(epochs=2), out=folder / "runs" / "shop")
    return folder


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_python_examples_run_in_order(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
    assert len(blocks) >= 8
    for block in blocks:
        exec(compile(block, "docs/retrieval.md", "exec"), names)
    assert pl.read_parquet(place / "lists.parquet")["user"].n_unique() == USERS


def test_the_commands_run(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    commands = re.findall(r"^prismrec (.*)$", PAGE, flags=re.M)
    assert len(commands) >= 5
    for command in commands:
        done = CliRunner().invoke(app, shlex.split(command), catch_exceptions=False)
        assert done.exit_code == 0, command
        assert done.stdout
