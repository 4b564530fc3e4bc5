"""The examples of docs/retrieval.md run, one after the other, on a shop with the columns that the page names."""

import datetime
import re
import shlex
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import prismrec
from prismrec.cli import app
from prismrec.demo import ShopConfig, write_shop
from prismrec.records import Settings

PAGE = (Path(__file__).parent.parent / "docs" / "retrieval.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    write_shop(folder / "shop", ShopConfig(users=150, items=90, interactions=1500))
    rng = np.random.default_rng(0)
    items = pl.read_csv(folder / "shop" / "items.csv")
    day = [datetime.date(2025, 10, 1) + datetime.timedelta(days=int(days)) for days in rng.integers(0, 200, len(items))]
    items.with_columns(
        price=pl.Series(rng.integers(5, 40, len(items))),
        brand=pl.col("title").str.split(" ").list.first(),
        in_stock=pl.Series(rng.random(len(items)) < 0.8),
        added=pl.Series(day),
    ).write_csv(folder / "shop" / "items.csv")
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
    assert pl.read_parquet(place / "lists.parquet")["user"].n_unique() == 150


def test_the_commands_run(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    commands = re.findall(r"^prismrec (.*)$", PAGE, flags=re.M)
    assert len(commands) >= 5
    for command in commands:
        done = CliRunner().invoke(app, shlex.split(command), catch_exceptions=False)
        assert done.exit_code == 0, command
        assert done.stdout
