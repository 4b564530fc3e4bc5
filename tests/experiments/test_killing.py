"""Training processes that are killed and resumed end at the same bits."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from prismrec.demo import ShopConfig, write_shop
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
def uninterrupted(shop: Path) -> Path:
    out = shop.parent / "uninterrupted"
    subprocess.run(command(shop, out), check=True, capture_output=True)
    return out


def test_a_run_killed_several_times_ends_at_the_same_bits(shop: Path, uninterrupted: Path) -> None:
    out, kills = shop.parent / "killed", 0
    for after in (1, 3, 6, 9):  # epochs reported before the kill; the checkpoint may be older
        process = subprocess.Popen(command(shop, out, "--resume"), stderr=subprocess.PIPE, text=True)
        for line in process.stderr:
            if line.startswith("epoch ") and int(line.split()[1]) >= after:
                time.sleep(0.01 * after)  # at different moments of an epoch
                process.send_signal(signal.SIGKILL)
                break
        process.stderr.close()
        kills += process.wait() == -signal.SIGKILL
        assert not (out / "metrics.json").exists()
    assert kills == 4
    subprocess.run(command(shop, out, "--resume"), check=True, capture_output=True)
    first, second = Run.load(uninterrupted), Run.load(out)
    assert [record.loss for record in first.history] == [record.loss for record in second.history]
    assert [record.valid for record in first.history] == [record.valid for record in second.history]
    for name in ("model.safetensors", "embeddings.safetensors"):
        expected, found = load_file(uninterrupted / name), load_file(out / name)
        assert all((expected[key] == found[key]).all() for key in expected)
    assert first.evaluate("test").to_dict() == second.evaluate("test").to_dict()
    assert [path.name for path in (out / "checkpoint").iterdir()] == ["state.safetensors"]


def test_two_uninterrupted_runs_with_one_seed_are_equal_to_the_bit(shop: Path, uninterrupted: Path) -> None:
    out = shop.parent / "twin"
    subprocess.run(command(shop, out), check=True, capture_output=True)
    for name in ("model.safetensors", "embeddings.safetensors"):
        assert (uninterrupted / name).read_bytes() == (out / name).read_bytes()
