"""`prismrec tune`."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

import prismrec
from prismrec.cli import app
from prismrec.cli.options import describe_error
from prismrec.cli.tune import describe_estimate, parse_duration, parse_space
from prismrec.data import load
from prismrec.demo import ShopConfig, write_shop
from prismrec.errors import InputError
from prismrec.experiments.estimate import Estimate
from prismrec.records import Settings
from prismrec.runs import Run


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tune") / "shop"
    write_shop(folder, ShopConfig(users=120, items=80, interactions=1200))
    return folder


def tune(*words: object) -> Result:
    return CliRunner().invoke(app, ["tune", *map(str, words), "--device", "cpu"], catch_exceptions=False)


def test_the_best_trial_is_printed_and_its_config_file_trains_it(shop: Path, tmp_path: Path) -> None:
    search = tmp_path / "search"
    words = [
        "MF-BPR",
        shop,
        "--out",
        search,
        "--epochs",
        2,
        "--space",
        "learning_rate=0.01,0.1",
        "--set",
        "batch_size=64",
    ]
    done = tune(*words, "--json")
    assert done.exit_code == 0
    facts = json.loads(done.stdout)
    assert len(facts["trials"]) == 2
    assert facts["value"] == max(trial["value"] for trial in facts["trials"])
    assert facts["config"] == {"batch_size": 64, **facts["settings"]}
    shown = tune(*words)  # reads the finished search
    assert f"valid recall@20 {facts['value']:.4f} at epoch {facts['epochs']}" in shown.stdout
    out = tmp_path / "run"
    CliRunner().invoke(app, ["train", "--config", facts["config_file"], "--out", str(out)], catch_exceptions=False)
    run = Run.load(out)
    assert run.evaluate("valid")["recall@20"] == facts["value"]
    assert run.best_epoch == facts["epochs"]


def test_a_dry_run_estimates_and_leaves_nothing(shop: Path, tmp_path: Path) -> None:
    done = tune("LightGCN", shop, "--out", tmp_path / "search", "--epochs", 3, "--time-limit", "1s", "--dry-run")
    assert done.exit_code == 0
    assert "20 trials, " in done.stderr
    assert "if each trial takes 3 epochs" in done.stderr
    assert not (tmp_path / "search").exists()


def test_a_trial_that_fails_shows_its_error_at_once_and_in_the_table(shop: Path, tmp_path: Path) -> None:
    words = ["--set", "embedding_size=8", "--set", "hyperedges=4", "--space", "heads=2,3", "--epochs", 1]
    done = tune("SHT", shop, "--out", tmp_path / "search", *words)
    error = "SHT: found embedding_size 8 is not a multiple of heads 3; expected hyperparameters that fit together"
    assert f"trials: one failed: {error}\n" in done.stderr
    assert "failed" in done.stdout
    assert "best: heads=2:" in done.stdout


def test_an_estimate_says_what_fits() -> None:
    estimate = Estimate(10, 1.0, (2.0, 6.0), (6, 100), 2**30, 5 * 2**30)
    assert estimate.seconds(6, workers=1) == 10 * (1 + 6 * 4)
    assert estimate.seconds(6, workers=4) == 3 * (1 + 6 * 4)
    assert describe_estimate(estimate, 1, 50.0) == [
        "10 trials, 2.00 to 6.00 s per epoch",
        "0:04:10 if each trial takes 6 epochs",
        "1:06:50 if each trial takes 100 epochs",
        "at most 2 of the 10 trials fit in 0:00:50",
        "1.00 GiB of memory per worker, enough here for 6 workers",
    ]
    estimate.check_memory(6)
    with pytest.raises(InputError, match=r"workers: found 7, each of which takes about 1.0 GiB.*expected at most 6"):
        estimate.check_memory(7)


@pytest.mark.parametrize("given", ["a key of a file", "the config of a run that had a start"])
def test_a_search_starts_from_no_run(given: str, shop: Path, tmp_path: Path) -> None:
    """Trials that start from weights of one run would be compared with others that do not."""
    first = tmp_path / "first"
    data = load(shop)
    config, settings = {"embedding_size": 8}, Settings(epochs=1, device="cpu")
    prismrec.train("LightGCN", data, config, settings, out=first)
    file = tmp_path / "tune.yaml"
    file.write_text(f"model: LightGCN\nsource: {shop}\ninit: {first}\n")
    if given != "a key of a file":
        prismrec.train("LightGCN", data, config, settings, out=tmp_path / "second", init=first)
        file = tmp_path / "second" / "config.json"
    with pytest.raises(InputError, match="init: found a run to start from; expected none: each trial starts from ran"):
        tune(str(shop), "--config", file, "--out", tmp_path / "search")
    assert not (tmp_path / "search").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--space", "layrs=1,2"], "--space layrs: found no such hyperparameter; expected 'layers'?"),
        (["--space", "layers=two"], "--space layers: found 'two'; expected a valid integer"),
        (["--space", "layers="], "--space layers: found no values; expected one or more"),
        (["--space", "layers=3..1"], "--space layers: found the empty range 3 to 1; expected low below high"),
        (["--space", "layers=1", "--set", "layers=2"], "--space layers: found the fixed value 2 too"),
        (["--space", "layers=1", "--space", "layers=2"], "--space layers: found two lists of values; expected one"),
        (["--space", "layers"], "--space: found 'layers'; expected name=a,b,c, name=LOW..HIGH, or a .yaml"),
        (["--space", "none.yaml"], "none.yaml: found no such file"),
        (["--time-limit", "soon"], "--time-limit: found 'soon'; expected a time such as 90s, 30m or 2h"),
        (["--engine", "k8s"], "--engine: found 'k8s'; expected local or ray"),
        (["--metric", "recall"], "--metric: found 'recall'"),
    ],
)
def test_bad_options_end_with_code_2_before_anything_runs(
    shop: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    with pytest.raises(InputError) as raised:
        tune("LightGCN", shop, "--out", tmp_path / "search", *words)
    assert message in describe_error(raised.value)
    assert not (tmp_path / "search").exists()


def test_spaces_are_read_from_words_and_files(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("layers: [1, 2]\nlearning_rate: {low: 1e-4, high: 1e-2, scale: log}\n", encoding="utf-8")
    words = ["layers=1,2", "learning_rate=1e-4..1e-2:log"]
    assert parse_space(words) == parse_space([str(path)])
    assert parse_space(["layers=1..4", "variant=paper,official", "pruning=null,soft", "negatives=[512,1024]"]) == {
        "layers": {"low": 1, "high": 4, "scale": "linear"},
        "variant": ["paper", "official"],
        "pruning": [None, "soft"],
        "negatives": [512, 1024],
    }


def test_durations_have_units() -> None:
    assert [parse_duration(text) for text in ("90", "90s", "1.5m", "2h", "1d")] == [90, 90, 90, 7200, 86400]
    for text in ("0", "-1", "1w", "", "1e3", "²"):
        with pytest.raises(InputError, match="--time-limit"):
            parse_duration(text)


def test_ctrl_c_prints_the_command_that_continues(shop: Path, tmp_path: Path) -> None:
    search = tmp_path / "search"
    words = ["tune", "MF-BPR", shop, "--out", search, "--space", "learning_rate=0.01,0.1", "--device", "cpu"]
    words += ["--epochs", "100000", "--patience", "100000"]
    main = "import torch; torch.set_num_threads(1); from prismrec.cli import main; main()"
    process = subprocess.Popen([sys.executable, "-c", main, *map(str, words)], stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list(search.glob("checkpoints/*/state.safetensors")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == f"prismrec: stopped; continue: prismrec {' '.join(map(str, words))}"
    assert not (search / "workers").exists()  # the trial was given back
    assert any((search / "checkpoints").iterdir())
