import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from prismrec.cli import app
from prismrec.demo import ShopConfig, write_shop
from prismrec.errors import InputError

SIZE = ["--users", "120", "--items", "70", "--interactions", "600"]
Bench = Callable[..., Result]


@pytest.fixture
def bench() -> Bench:
    return lambda *words: CliRunner().invoke(app, ["bench", *map(str, words)])


def test_json_has_times_of_the_chosen_models_and_rates_of_the_operations(bench: Bench) -> None:
    report = json.loads(bench("--model", "mf-bpr", "--model", "vbpr", *SIZE, "--json").stdout)
    assert (report["users"], report["items"], report["interactions"]) == (120, 70, 600)
    assert [each["model"] for each in report["models"]] == ["MF-BPR", "VBPR"]
    assert all(min(each["epoch_seconds"], each["evaluation_seconds"]) > 0 for each in report["models"])
    assert {each["unit"] for each in report["limits"]} == {"GB/s", "GFLOP/s"}
    for each in report["limits"]:
        assert each["share"] == pytest.approx(each["rate"] / each["machine"])


def test_a_table_of_a_given_data_set_is_printed(bench: Bench, tmp_path: Path) -> None:
    write_shop(tmp_path / "shop", ShopConfig(users=120, items=80, interactions=1200))
    printed = bench(tmp_path / "shop", "--model", "most-popular", "--no-limits").stdout
    assert "shop" in printed
    assert "most-popular" in printed
    assert "GB/s" not in printed


@pytest.mark.parametrize("words", [("--model", "nothing"), ("--device", "abacus"), ("--users", "700")])
def test_invalid_options_are_refused(bench: Bench, words: tuple[str, ...]) -> None:
    assert isinstance(bench(*SIZE, *words).exception, InputError)
