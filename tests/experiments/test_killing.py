"""Real processes killed at any moment, and resumed to the same bits."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from prismrec.data.demo import ShopConfig, write_shop
from prismrec.runs import Run


def command(shop: Path, out: Path, *more: str) -> list[str]:
    words = ["train", "LGMRec", shop, "--out", out, "--epochs", 12, "--set", "batch_size=64", "--device", "cpu", *more]
    main = "import torch; torch.set_num_threads(1); from prismrec.cli import main; main()"
    return [sys.executable, "-c", main, *map(str, words)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killing") / "shop"
    write_shop(folder, ShopConfig(users=150, items=90, interactions=1500))
    return folder


@pytest.fixture(scope="module")
def whole(shop: Path) -> Path:
    out = shop.parent / "whole"
    subprocess.run(command(shop, out), check=True, capture_output=True)
    return out


def test_a_run_killed_again_and_again_ends_bit_identical(shop: Path, whole: Path) -> None:
    out, kills = shop.parent / "killed", 0
    for after in (1, 3, 6, 9):  # epochs reported before the kill; the checkpoint may lag behind
        process = subprocess.Popen(command(shop, out, "--resume"), stderr=subprocess.PIPE, text=True)
        for line in process.stderr:
            if line.startswith(f"epoch {after} "):
                time.sleep(0.01 * after)  # not always at the same place of an epoch
                process.send_signal(signal.SIGKILL)
                break
        process.stderr.close()
        kills += process.wait() == -signal.SIGKILL
        assert not (out / "metrics.json").exists()
    assert kills == 4
    subprocess.run(command(shop, out, "--resume"), check=True, capture_output=True)
    first, second = Run.load(whole), Run.load(out)
    assert [record.loss for record in first.history] == [record.loss for record in second.history]
    assert [record.valid for record in first.history] == [record.valid for record in second.history]
    for name in ("model.safetensors", "embeddings.safetensors"):
        mine, theirs = load_file(whole / name), load_file(out / name)
        assert all((mine[key] == theirs[key]).all() for key in mine)
    assert first.evaluate("test").to_dict() == second.evaluate("test").to_dict()
    assert not (out / "checkpoint").exists()


def test_two_whole_runs_of_one_seed_are_bit_identical(shop: Path, whole: Path) -> None:
    out = shop.parent / "twin"
    subprocess.run(command(shop, out), check=True, capture_output=True)
    for name in ("model.safetensors", "embeddings.safetensors"):
        assert (whole / name).read_bytes() == (out / name).read_bytes()
