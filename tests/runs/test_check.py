"""`find_problems` finds damage that loading a run does not."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import prismrec
from prismrec.cli import app
from prismrec.demo import ShopConfig, make_shop
from prismrec.records import Settings
from prismrec.runs import Run, find_problems


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shop = make_shop(ShopConfig(users=120, items=80, interactions=1200)).dataset()
    out = tmp_path_factory.mktemp("check") / "run"
    prismrec.train("LGMRec", shop, {"batch_size": 256}, Settings(epochs=3), out=out)
    return out


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def edit(path: Path, **values: object) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **values}))


def test_a_complete_run_gives_one_line(run: Path) -> None:
    done = CliRunner().invoke(app, ["check", str(run)])
    assert (done.exit_code, done.stdout.count("\n"), done.stderr) == (0, 1, "")


def test_every_damaged_file_is_named_in_a_line(run: Path) -> None:
    for name in ("users.parquet", "checkpoint/state.safetensors"):
        content = bytearray((run / name).read_bytes())
        content[len(content) // 2] ^= 1
        (run / name).write_bytes(content)
    edit(run / "config.json", data="another")
    done = CliRunner().invoke(app, ["check", str(run)])
    assert done.exit_code == 2
    assert [line.split(": ")[1] for line in done.stderr.splitlines()] == [
        str(run / name) for name in ("config.json", "users.parquet", "checkpoint/state.safetensors")
    ]


def test_numbers_that_do_not_belong_to_the_run_are_found(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    wrong = {**metrics["test"], "recall@20": metrics["test"]["recall@20"] + 0.1}
    edit(run / "metrics.json", epochs=4, best_epoch=metrics["best_epoch"] % 3 + 1, test=wrong, valid=None)
    Run.load(run)  # the checksums do not cover this file
    found = [problem.found for problem in find_problems(run)]
    assert [text.split(" = ")[0] for text in found] == ["epochs", "best_epoch", "valid", "test recall@20"]


@pytest.mark.parametrize("value", [None, "0.5", [0.5]])
def test_a_metric_that_is_no_number_is_a_problem(run: Path, value: object) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    edit(run / "metrics.json", test={**metrics["test"], "recall@20": value})
    found = [problem.found for problem in find_problems(run)]
    assert found == [f"test recall@20 = {value}"]


@pytest.mark.parametrize("name", ["metrics.json", "config.json"])
def test_an_unfinished_run_and_a_folder_without_a_run_have_one_problem(run: Path, name: str) -> None:
    (run / "metrics.json").unlink()
    (run / name).unlink(missing_ok=True)
    state = "unfinished run" if name == "metrics.json" else "no run"
    problems = find_problems(run)
    assert len(problems) == 1
    assert state in problems[0].found
