"""Runs are extended, replaced, stopped and resumed without the loss of a number."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

import prismrec
from prismrec.data import Dataset
from prismrec.demo import ShopConfig, make_shop
from prismrec.errors import InputError
from prismrec.experiments.run_folder import saved_epochs
from prismrec.records import Settings
from prismrec.runs import Run, find_problems, locked
from prismrec.training import Callback, EpochEnd

CONFIG = {"batch_size": 256}


class StopError(Exception):
    """Stands for whatever ends a training."""


@pytest.fixture(scope="module")
def shop() -> Dataset:
    return make_shop(ShopConfig(users=120, items=80, interactions=1200)).dataset()


@pytest.fixture(scope="module")
def runs(shop: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Uninterrupted runs: `short` of 3 epochs and `long` of 6, with one seed, and `other` of 3 with another seed."""
    folder = tmp_path_factory.mktemp("runs")
    prismrec.train("LGMRec", shop, CONFIG, Settings(epochs=3), out=folder / "short")
    prismrec.train("LGMRec", shop, CONFIG, Settings(epochs=6), out=folder / "long")
    prismrec.train("LGMRec", shop, CONFIG, Settings(epochs=3, seed=1), out=folder / "other")
    return folder


@pytest.fixture
def short(runs: Path, tmp_path: Path) -> Path:
    """A copy of the short run."""
    return Path(shutil.copytree(runs / "short", tmp_path / "run"))


class StopAt(Callback):
    """Raises an exception after an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch(self, epoch: EpochEnd) -> None:
        if epoch.record.epoch == self.epoch:
            raise StopError


def assert_same(found: Path, expected: Path) -> None:
    """Two folders hold the same run, to the bit, and the same files."""
    assert find_problems(found) == []
    assert sorted(path.name for path in found.iterdir()) == sorted(path.name for path in expected.iterdir())
    for name in ("model.safetensors", "embeddings.safetensors"):
        assert (found / name).read_bytes() == (expected / name).read_bytes()
    first, second = Run.load(found), Run.load(expected)
    assert [(record.loss, record.valid) for record in first.history] == [
        (record.loss, record.valid) for record in second.history
    ]
    assert first.manifest == second.manifest
    assert first.evaluate("test").to_dict() == second.evaluate("test").to_dict()


def test_an_extended_run_equals_an_uninterrupted_one(shop: Dataset, runs: Path, short: Path) -> None:
    run = prismrec.train("LGMRec", shop, CONFIG, Settings(epochs=6), out=short, resume=True)
    assert len(run.history) == 6
    assert_same(short, runs / "long")


def test_a_run_that_ran_out_of_patience_goes_on_with_more(shop: Dataset, tmp_path: Path) -> None:
    impatient = Settings(epochs=40, patience=1)
    patient = Settings(epochs=40, patience=4)
    first = prismrec.train("LightGCN", shop, {}, impatient, out=tmp_path / "run")
    prismrec.train("LightGCN", shop, {}, patient, out=tmp_path / "run", resume=True)
    whole = prismrec.train("LightGCN", shop, {}, patient, out=tmp_path / "whole")
    assert len(first.history) < len(whole.history) < 40
    with pytest.raises(InputError, match=f"patience: found 1, which stops after epoch {len(first.history)}"):
        prismrec.train("LightGCN", shop, {}, impatient, out=tmp_path / "run", resume=True)
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_the_finished_run_is_served_until_its_extension_is_complete(shop: Dataset, runs: Path, short: Path) -> None:
    with pytest.raises(StopError):
        prismrec.train("LGMRec", shop, CONFIG, Settings(epochs=6), out=short, resume=True, callbacks=[StopAt(5)])
    assert len(Run.load(short).history) == 3
    prismrec.train("LGMRec", shop, CONFIG, Settings(epochs=6), out=short, resume=True)
    assert_same(short, runs / "long")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(epochs=2), "epochs: found 2; expected 3 or more"),
        (Settings(epochs=6, seed=1), "settings = {'seed': 0}; expected {'seed': 1}"),
        (Settings(epochs=6, metric="ndcg@10"), "settings = {'metric': 'recall@20'}"),
    ],
)
def test_a_run_does_not_become_another_one(shop: Dataset, short: Path, settings: Settings, message: str) -> None:
    before = (short / "metrics.json").read_bytes()
    with pytest.raises(InputError, match=message):
        prismrec.train("LGMRec", shop, CONFIG, settings, out=short, resume=True)
    assert (short / "metrics.json").read_bytes() == before
    assert not (short / ".next").exists()


def test_what_is_not_given_stays_when_a_run_is_resumed(shop: Dataset, short: Path) -> None:
    assert len(prismrec.train("LGMRec", shop, CONFIG, out=short, resume=True).history) == 3


def test_a_run_without_its_checkpoint_can_be_used_but_not_extended(shop: Dataset, short: Path) -> None:
    shutil.rmtree(short / "checkpoint")
    assert find_problems(short) == []
    with pytest.raises(InputError, match="no checkpoint"):
        prismrec.train("LGMRec", shop, CONFIG, Settings(epochs=6), out=short, resume=True)


def test_the_checkpoint_of_another_run_is_refused(shop: Dataset, runs: Path, short: Path, tmp_path: Path) -> None:
    state = "checkpoint/state.safetensors"
    shutil.copy(runs / "other" / state, short / state)
    with pytest.raises(InputError, match="other contents"):
        prismrec.train("LGMRec", shop, CONFIG, Settings(epochs=6), out=short, resume=True)
    with pytest.raises(StopError):
        prismrec.train("LGMRec", shop, CONFIG, Settings(epochs=6), out=tmp_path / "half", callbacks=[StopAt(4)])
    shutil.copy(runs / "other" / state, tmp_path / "half" / state)
    with pytest.raises(InputError, match="checkpoint of another run"):
        prismrec.train("LGMRec", shop, CONFIG, Settings(epochs=6), out=tmp_path / "half", resume=True)


def test_an_interrupted_run_is_finished_with_the_epochs_that_it_has(shop: Dataset, runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(StopError):
        prismrec.train("LGMRec", shop, CONFIG, Settings(epochs=100), out=out, callbacks=[StopAt(4)])
    assert 1 <= saved_epochs(out) <= 3
    prismrec.train("LGMRec", shop, CONFIG, Settings(epochs=3), out=out, resume=True)
    assert_same(out, runs / "short")


def test_a_replaced_run_is_served_until_the_new_one_is_complete(shop: Dataset, runs: Path, short: Path) -> None:
    other = Settings(epochs=3, seed=1)
    (short / "notes.txt").write_text("mine")
    with pytest.raises(StopError):
        prismrec.train(
            "LGMRec", shop, CONFIG, Settings(epochs=3, seed=1), out=short, overwrite=True, callbacks=[StopAt(2)]
        )
    assert Run.load(short).manifest.settings.seed == 0
    prismrec.train("LGMRec", shop, CONFIG, other, out=short, resume=True)
    assert (short / "notes.txt").read_text() == "mine"
    (short / "notes.txt").unlink()
    assert_same(short, runs / "other")


def test_a_reader_finds_a_run_at_every_moment(shop: Dataset, runs: Path, short: Path) -> None:
    """While the run is replaced again and again, each load gives the whole of one of them."""
    known = {seed: Run.load(runs / name).embeddings.users for seed, name in ((0, "short"), (1, "other"))}
    stopped = threading.Event()
    wrong: list[str] = []
    loads = [0]

    def read() -> None:
        while not stopped.is_set():
            try:
                run = Run.load(short)
                if not torch.equal(run.embeddings.users, known[run.manifest.settings.seed]):
                    wrong.append("mixed")
            except InputError as error:
                wrong.append(str(error))
            loads[0] += 1

    reader = threading.Thread(target=read)
    reader.start()
    sources = [Run.load(runs / "other"), Run.load(runs / "short")]
    start = time.monotonic()
    while time.monotonic() < start + 3 or (loads[0] <= 5 and time.monotonic() < start + 120):
        for source in sources:
            source.save(short, overwrite=True)
    stopped.set()
    reader.join()
    assert wrong == []
    assert loads[0] > 5


def test_only_a_run_is_overwritten(shop: Dataset, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="not a run"):
        prismrec.train("MF-BPR", shop, out=tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    prismrec.train("MF-BPR", shop, {}, Settings(epochs=1), out=tmp_path / "new", overwrite=True)
    assert find_problems(tmp_path / "new") == []


def test_a_run_resumed_under_another_version_or_machine_says_so(shop: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(StopError):
        prismrec.train("MF-BPR", shop, CONFIG, Settings(epochs=4), out=out, callbacks=[StopAt(3)])
    manifest = json.loads((out / "config.json").read_text())
    manifest["versions"]["torch"] = "1.0"
    manifest["machine"]["threads"] = "96"
    (out / "config.json").write_text(json.dumps(manifest))
    note = rf"from epoch [23]: torch {torch.__version__} instead of 1\.0, threads 1 instead of 96".replace("+", r"\+")
    with pytest.warns(UserWarning, match=note):
        run = prismrec.train("MF-BPR", shop, CONFIG, Settings(epochs=4), out=out, resume=True)
    assert "instead of 96" in Run.load(out).manifest.resumed[0]
    assert len(run.history) == 4


@pytest.mark.parametrize("replaced", [False, True])
def test_a_folder_that_goes_away_while_training_is_noticed(shop: Dataset, tmp_path: Path, replaced: bool) -> None:
    out = tmp_path / "run"

    class Remove(Callback):
        def on_epoch(self, epoch: EpochEnd) -> None:
            if epoch.record.epoch == 2:
                shutil.rmtree(out)
                if replaced:
                    out.mkdir()

    with pytest.raises(InputError, match="deleted or replaced"):
        prismrec.train("MF-BPR", shop, CONFIG, Settings(epochs=5), out=out, callbacks=[Remove()])
    assert not out.exists() or list(out.iterdir()) == []


def test_a_second_writer_is_refused_before_it_builds_the_model(shop: Dataset, short: Path) -> None:
    with locked(short), pytest.raises(InputError, match="another process is writing"):
        prismrec.train("LGMRec", shop, CONFIG, out=short, overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_training_that_is_refused_in_its_first_epoch_leaves_the_folder_to_the_next(
    overwrite: bool, shop: Dataset, short: Path, tmp_path: Path
) -> None:
    out = short if overwrite else tmp_path / "new"
    before = sorted(out.rglob("*"))
    with pytest.raises(InputError, match="lower learning_rate"):
        prismrec.train(
            "MF-BPR", shop, {"learning_rate": 1e38}, Settings(epochs=2, device="cpu"), out=out, overwrite=overwrite
        )
    assert sorted(out.rglob("*")) == before
    assert out.exists() == overwrite
    prismrec.train("MF-BPR", shop, settings=Settings(epochs=2, device="cpu"), out=out, overwrite=overwrite)
    assert find_problems(out) == []


STOPPED = """
import sys, torch
torch.set_num_threads(1)
sys.argv[0] = "prismrec"
from prismrec.cli import main
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_keeps_the_whole_epochs_and_prints_how_to_resume(tmp_path: Path, number: signal.Signals) -> None:
    from prismrec.demo import write_shop

    write_shop(tmp_path / "shop", ShopConfig(users=120, items=80, interactions=1200))
    words = ["train", "LGMRec", str(tmp_path / "shop"), "--out", str(tmp_path / "run"), "--epochs", "2000"]
    words += ["--patience", "2000", "--device", "cpu"]
    process = subprocess.Popen([sys.executable, "-c", STOPPED, *words], stderr=subprocess.PIPE, text=True)
    lines = []
    for line in process.stderr:
        lines.append(line.rstrip())
        if line.startswith("epoch 4 "):
            process.send_signal(number)
    assert process.wait() == 130
    epochs = saved_epochs(tmp_path / "run")
    assert epochs >= 4
    assert lines[-3].startswith(f"epoch {epochs} ")
    assert lines[-2] == f"prismrec: stopped after epoch {epochs}; continue: prismrec {' '.join(words)} --resume"
    finish = lines[-1].partition(": prismrec ")[2].split()
    assert finish.count("--epochs") == 1
    done = subprocess.run([sys.executable, "-c", STOPPED, *finish], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(Run.load(tmp_path / "run").history) == epochs


def test_a_run_is_saved_from_memory(shop: Dataset, runs: Path, tmp_path: Path) -> None:
    run = prismrec.train("LGMRec", shop, CONFIG, Settings(epochs=3))
    saved = run.save(tmp_path / "run")
    assert saved.folder == tmp_path / "run"
    assert find_problems(tmp_path / "run") == []
    for name in ("model.safetensors", "embeddings.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (runs / "short" / name).read_bytes()
    assert Run.load(tmp_path / "run").recommend(k=5).equals(run.recommend(k=5))
    with pytest.raises(InputError, match="something already there"):
        run.save(tmp_path / "run")
    again = Run.load(tmp_path / "run").save(tmp_path / "copy")
    assert (again.folder / "model.safetensors").read_bytes() == (tmp_path / "run/model.safetensors").read_bytes()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
@pytest.mark.parametrize("name", ["config.json", "checkpoint/state.safetensors"])
def test_a_pipe_in_an_unfinished_run_is_refused_and_not_waited_on(name: str, short: Path, shop: Dataset) -> None:
    (short / "metrics.json").unlink()
    (short / name).unlink()
    os.mkfifo(short / name)
    with pytest.raises(InputError, match=name):
        prismrec.train("LGMRec", shop, CONFIG, Settings(epochs=3), out=short, resume=True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
@pytest.mark.parametrize("name", ["config.json", "metrics.json"])
def test_a_run_with_a_pipe_is_replaced_and_not_waited_on(name: str, short: Path, shop: Dataset) -> None:
    (short / name).unlink()
    os.mkfifo(short / name)
    prismrec.train("LGMRec", shop, CONFIG, Settings(epochs=1), out=short, overwrite=True)
    assert find_problems(short) == []


def test_a_config_of_another_run_is_noted(short: Path, runs: Path) -> None:
    assert Run.load(short).warnings == ()
    shutil.copy(runs / "other" / "config.json", short / "config.json")
    (note,) = Run.load(short).warnings
    assert note.endswith("its model, settings and data may be those of another run")


def test_a_word_is_no_flag(short: Path) -> None:
    run = Run.load(short)
    with pytest.raises(InputError, match="overwrite: found an object of type str; expected True or False"):
        run.save(short, overwrite="no")
    with pytest.raises(InputError, match="exact: found an object of type str; expected True or False"):
        Run.load(short, exact="no")
