import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from experiments.tables.examples import run, table
from prismrec.data import Dataset, write_table
from prismrec.errors import InputError, ParameterError
from prismrec.evaluation import evaluate
from prismrec.experiments.tables import cells
from prismrec.experiments.tables.cells import Cell
from prismrec.experiments.tables.plan import Chosen, Options, make_entry
from prismrec.experiments.tables.sources import Source, as_source, hide_features
from prismrec.experiments.tables.work import Progress, Watcher
from prismrec.experiments.train import make_config, train
from prismrec.records import Settings
from prismrec.runs.lock import BusyError, locked
from prismrec.training import Callback, EpochEnd
from prismrec.types import Interactions


class Log(Watcher):
    def __init__(self) -> None:
        self.trained: list[str] = []
        self.failures: list[str] = []
        self.steps: list[Progress] = []

    def progress(self, progress: Progress) -> None:
        self.steps.append(progress)

    def failed(self, label: str, error: str) -> None:
        self.failures.append(f"{label}: {error}")

    def callbacks(self, label: str, settings: Settings, /) -> Sequence[Callback]:
        self.trained.append(label)
        return ()


def a_cell(shop: Dataset, **settings: object) -> Cell:
    values = Settings.model_validate({"epochs": 2, "device": "cpu", **settings})
    return Cell("MF-BPR", make_config("MF-BPR", {}), values, shop)


def test_a_row_has_the_metrics_of_the_run_that_train_makes(source: Source, tmp_path: Path) -> None:
    outcome = run(table(), source, tmp_path)
    row = next(row for row in outcome.rows if row.label == "VBPR")
    settings = Settings(epochs=2, device="cpu")
    expected = train("VBPR", source.dataset, {"embedding_size": 8}, settings).evaluate("test")
    for metric in ("recall@20", "ndcg@20"):
        assert row.metrics[metric].mean == expected[metric]
        assert row.metrics[metric].sd is None
    assert (row.cells[0].best_epoch, row.cells[0].epochs) == (row.cells[0].best_epoch, 2)
    assert row.cells[0].seconds > 0


def test_finished_cells_are_not_trained_again(source: Source, tmp_path: Path) -> None:
    first, second, third = Log(), Log(), Log()
    one = run(table(), source, tmp_path, first)
    again = run(table(), source, tmp_path, second)
    assert len(first.trained) == 3
    assert second.trained == []
    assert again.rows == one.rows
    more = run(table(), source, tmp_path, third, seeds=2)
    assert third.trained == ["popular, seed 1", "MF, seed 1", "VBPR, seed 1"]
    vbpr = next(row for row in more.rows if row.label == "VBPR")
    values = [cell.test["recall@20"] for cell in vbpr.cells]
    assert len(values) == 2
    assert vbpr.metrics["recall@20"].mean == pytest.approx(sum(values) / 2)
    assert vbpr.metrics["recall@20"].sd == pytest.approx(abs(values[0] - values[1]) / 2**0.5)


def test_the_first_seed_of_all_rows_comes_before_the_second_of_any(source: Source, tmp_path: Path) -> None:
    log = Log()
    run(table(), source, tmp_path, log, seeds=2)
    assert [label.split(", ")[1] for label in log.trained] == ["seed 0"] * 3 + ["seed 1"] * 3
    assert [step.done for step in log.steps] == list(range(7))
    assert {step.total for step in log.steps} == {6}
    assert log.steps[0].seconds_left is None
    assert log.steps[-1].seconds_left == 0
    assert log.steps[3].seconds_left > 0


def test_all_that_determines_a_cell_is_in_its_key_and_nothing_else(shop: Dataset) -> None:
    key = a_cell(shop).key
    assert a_cell(dataclasses.replace(shop, name="renamed", notes=("read twice",))).key == key
    assert a_cell(shop, device="auto").key == key
    others = [
        a_cell(shop, seed=1),
        a_cell(shop, epochs=3),
        a_cell(shop, patience=7),
        a_cell(shop, metric="ndcg@10"),
        a_cell(dataclasses.replace(shop, train=shop.valid, valid=shop.train)),
        dataclasses.replace(a_cell(shop), model="VBPR"),
        dataclasses.replace(a_cell(shop), config=make_config("MF-BPR", {"regulariser": 0.5})),
        dataclasses.replace(a_cell(shop), probe="map"),
        dataclasses.replace(a_cell(shop), cutoffs=(5, 10, 20, 50, 100)),
    ]
    assert len({key, *[other.key for other in others]}) == len(others) + 1


def test_the_code_of_a_cell_is_in_its_key(shop: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    key = a_cell(shop).key
    monkeypatch.setattr(cells, "code_of", lambda model: "other code")
    assert a_cell(shop).key != key


def test_a_failed_cell_shows_its_error_and_the_others_go_on(source: Source, tmp_path: Path) -> None:
    rows = [
        {"label": "diverges", "model": "MF-BPR", "config": {"learning_rate": 1e30}},
        {"label": "VBPR", "model": "VBPR"},
    ]
    log = Log()
    outcome = run(table(rows=rows), source, tmp_path, log)
    failed, fine = outcome.rows
    assert "weights, epoch 1: found 1e+30" in failed.error
    assert not failed.cells
    assert fine.metrics["recall@20"].mean > 0
    assert log.failures == [f"diverges, seed 0: {failed.error}"]
    assert log.steps[-1].failed == 1
    retried = Log()
    run(table(rows=rows), source, tmp_path, retried)
    assert retried.trained == ["diverges, seed 0"]


class Stop(Callback):
    def on_epoch(self, epoch: EpochEnd) -> None:
        if epoch.record.epoch == 3:
            raise KeyboardInterrupt


def test_an_interrupted_cell_continues_and_ends_at_the_same_bits(shop: Dataset, tmp_path: Path) -> None:
    cell = a_cell(shop, epochs=6)
    whole = cells.compute(cell, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        cells.compute(cell, tmp_path / "parts", [Stop()])
    assert cells.find_result(cell, tmp_path / "parts") is None

    class First(Callback):
        epoch: int | None = None

        def on_epoch(self, epoch: EpochEnd) -> None:
            self.epoch = self.epoch or epoch.record.epoch

    first = First()
    resumed = cells.compute(cell, tmp_path / "parts", [first])
    assert first.epoch is not None
    assert first.epoch > 1
    assert (resumed.test, resumed.valid, resumed.best_epoch, resumed.curve) == (
        whole.test,
        whole.valid,
        whole.best_epoch,
        whole.curve,
    )
    assert [path.name for path in (tmp_path / "parts").iterdir()] == [cell.key]


def test_the_checkpoint_of_a_finished_cell_is_removed(source: Source, tmp_path: Path) -> None:
    """A process leaves it that is killed between the result and the removal."""
    row = run(table(), source, tmp_path, only=("MF",)).rows[0]
    rest = tmp_path / "cells" / f"{row.cells[0].key}.unfinished"
    (rest / "checkpoint").mkdir(parents=True)
    for name in ("checkpoint/state.safetensors", "seconds", ".lock"):
        (rest / name).touch()
    begun = tmp_path / "cells" / ".prismrec-begun"  # a result that another one was writing
    begun.mkdir()
    os.utime(begun, (0, 0))
    run(table(), source, tmp_path, only=("MF",), finished_only=True)
    assert [path.name for path in (tmp_path / "cells").iterdir()] == [row.cells[0].key]


def test_a_killed_table_keeps_its_finished_cells(shop: Dataset, tmp_path: Path) -> None:
    write_table(shop, tmp_path / "shop")
    out = tmp_path / "out"
    words = ["ludp-fig3", "--data", tmp_path / "shop", "--out", out, "--epochs", 150, "--seeds", 1, "--trials", 0]
    command = [sys.executable, "-m", "prismrec", "reproduce", *map(str, words), "--device", "cpu", "--patience", "150"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while process.poll() is None and not list(out.glob("cells/*/cell.json")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = {path: path.stat().st_mtime_ns for path in out.glob("cells/*/cell.json")}
    assert 1 <= len(kept) < 4
    assert not (out / "ludp-fig3" / "results.json").exists()
    subprocess.run(command, check=True, capture_output=True)
    after = {path: path.stat().st_mtime_ns for path in out.glob("cells/*/cell.json")}
    assert len(after) == 4
    assert {path: after[path] for path in kept} == kept
    assert (out / "ludp-fig3" / "report.html").exists()


def test_two_processes_share_the_cells_of_a_table(shop: Dataset, tmp_path: Path) -> None:
    write_table(shop, tmp_path / "shop")
    out = tmp_path / "out"
    words = ["ludp-fig3", "--data", tmp_path / "shop", "--out", out, "--epochs", 30, "--seeds", 2, "--trials", 0]
    command = [sys.executable, "-m", "prismrec", "reproduce", *map(str, words), "--device", "cpu", "--patience", "30"]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) for _ in range(2)]
    ends = [process.communicate(timeout=900)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    assert {path.suffix for path in (out / "cells").iterdir()} == {""}
    assert len(list(out.glob("cells/*/cell.json"))) == 8
    assert all("8 of 8 trainings done" in end for end in ends)


def test_processes_that_meet_at_a_cell_find_its_result_or_try_later(shop: Dataset, tmp_path: Path) -> None:
    """Each one makes, locks and removes the folder of the unfinished cell, also between the steps of the others."""
    cell = a_cell(shop)
    stored = cells.compute(cell, tmp_path)

    def meet(_: int) -> str | None:
        try:
            return None if cells.is_running(cell, tmp_path) else cells.compute(cell, tmp_path).key
        except BusyError:
            return None

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(meet, range(2_000)))
    assert stored.key in found
    assert found <= {None, stored.key}
    assert [path.name for path in tmp_path.iterdir()] == [stored.key]


def test_a_cell_of_another_process_is_waited_for(source: Source, tmp_path: Path) -> None:
    """The other process is a thread that holds the lock of a cell until the last of the others has begun."""
    first = make_entry(
        table(), table().rows[1], source, Options(seeds=1, epochs=2, device="cpu"), lambda model, source: Chosen({}, "")
    ).cells[0]
    folder = tmp_path / "cells" / f"{first.key}.unfinished"
    held, last = threading.Event(), threading.Event()

    class LogUntilLast(Log):
        def callbacks(self, label: str, settings: Settings, /) -> Sequence[Callback]:
            if label == "VBPR, seed 0":
                last.set()
            return super().callbacks(label, settings)

    log = LogUntilLast()

    def hold() -> None:
        with locked(folder):
            held.set()
            last.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    outcome = run(table(), source, tmp_path, log)
    thread.join()
    assert not any(row.error for row in outcome.rows)
    assert log.trained[:3] == ["popular, seed 0", "MF, seed 0", "VBPR, seed 0"]
    assert log.trained[-1] == "MF, seed 0"


def test_a_damaged_cell_is_refused_with_the_way_to_compute_it_again(source: Source, tmp_path: Path) -> None:
    run(table(), source, tmp_path)
    damaged = sorted(tmp_path.glob("cells/*"))[0]
    (damaged / "cell.json").write_text("{")
    with pytest.raises(InputError, match=f"delete .*{damaged.name}"):
        run(table(), source, tmp_path)
    shutil.rmtree(damaged)
    log = Log()
    run(table(), source, tmp_path, log)
    assert len(log.trained) == 1


def test_the_values_of_users_are_those_of_the_evaluation(source: Source, tmp_path: Path) -> None:
    outcome = run(table(), source, tmp_path)
    cell = outcome.rows[2].cells[0]
    users = cells.read_users(cell.key, tmp_path / "cells")
    files = [*(tmp_path / "cells" / cell.key).iterdir()]
    assert len({path.stat().st_mode for path in files}) == 1  # the umask decides, also for safetensors
    settings = Settings(epochs=2, device="cpu")
    trained = train("VBPR", source.dataset, {"embedding_size": 8}, settings)
    expected = evaluate(trained.embeddings, source.dataset.test, mask=[source.dataset.train], cutoffs=[20])
    assert (users["users"] == expected.users).all()
    assert users["recall@20"] == pytest.approx(expected.per_user["recall@20"], abs=1e-6)


def test_rows_that_the_data_cannot_serve_say_so(shop: Dataset, tmp_path: Path) -> None:
    rows = [
        {"label": "sound", "model": "LUDP", "modality": "acoustic"},
        {"label": "picture", "model": "LUDP", "modality": "visual"},
        {"label": "VBPR", "model": "VBPR"},
    ]
    outcome = run(table(rows=rows), as_source(shop, table()), tmp_path)
    assert [row.reason for row in outcome.rows] == ["demo has no acoustic features", "", ""]
    assert outcome.rows[1].cells[0].modalities == ("image",)
    bare = dataclasses.replace(shop, features={}, present={})
    outcome = run(table(), as_source(bare, table()), tmp_path)
    assert [row.reason for row in outcome.rows] == ["", "", "demo has no features"]


def test_hidden_features_are_drawn_for_each_seed_and_models_without_features_are_trained_once(
    source: Source, tmp_path: Path
) -> None:
    hiding = table(reference="VBPR, 0% hidden", claims=[], hide=[0, 0.5])
    log = Log()
    outcome = run(hiding, source, tmp_path, log, seeds=2)
    labels = [f"{label}, {share}% hidden" for label in ("popular", "MF", "VBPR") for share in (0, 50)]
    assert [row.label for row in outcome.rows] == labels
    assert len(log.trained) == 8, "with two seeds, one training of most-popular and MF, and two of VBPR"
    mf, hidden_mf, vbpr, hidden_vbpr = outcome.rows[2:]
    assert hidden_mf.cells == mf.cells
    assert {cell.fingerprint for cell in vbpr.cells} == {source.dataset.fingerprint}
    assert [cell.fingerprint for cell in hidden_vbpr.cells] == [
        hide_features(source.dataset, 0.5, seed).fingerprint for seed in (0, 1)
    ]
    assert mf.command
    assert not hidden_vbpr.command, "no command hides features"


def test_a_narrowed_table_keeps_the_smallest_and_the_largest_share(source: Source, tmp_path: Path) -> None:
    hiding = table(reference=None, claims=[], hide=[0, 0.1, 0.5, 0.9])
    outcome = run(hiding, source, tmp_path, models=("VBPR",), sweep_values=2)
    assert [row.at for row in outcome.rows] == [0, 0.9]


def test_the_epoch_does_not_depend_on_the_test_split(shop: Dataset, tmp_path: Path) -> None:
    first = cells.compute(a_cell(shop, epochs=6), tmp_path)
    second = cells.compute(a_cell(dataclasses.replace(shop, test=shop.valid), epochs=6), tmp_path)
    assert first.key != second.key
    assert (first.best_epoch, first.valid, first.curve) == (second.best_epoch, second.valid, second.curve)
    assert second.test["recall@20"] == second.valid["recall@20"]


@pytest.mark.parametrize(("split", "name"), [("valid", "validation"), ("test", "test")])
def test_data_without_a_split_are_not_trained_on(shop: Dataset, tmp_path: Path, split: str, name: str) -> None:
    nothing = Interactions.from_pairs(shop.test.users[:0], shop.test.items[:0], len(shop.users), len(shop.items))
    log = Log()
    outcome = run(table(), as_source(dataclasses.replace(shop, **{split: nothing}), table()), tmp_path, log)
    assert {row.reason for row in outcome.rows} == {f"demo has no {name} interactions"}
    assert log.trained == []


def test_options_narrow_the_rows_and_unknown_ones_are_refused(source: Source, tmp_path: Path) -> None:
    assert [row.label for row in run(table(), source, tmp_path, only=("MF",)).rows] == ["MF"]
    assert [row.label for row in run(table(), source, tmp_path, models=("vbpr",)).rows] == ["VBPR"]
    with pytest.raises(ParameterError, match="popular, MF, VBPR"):
        run(table(), source, tmp_path, only=("LightGCN",))
    with pytest.raises(ParameterError, match="LightGCN"):
        run(table(), source, tmp_path, models=("LightGCN",))


def test_settings_of_the_variant_win_over_those_chosen_for_the_model(source: Source) -> None:
    row = table().rows[2]
    chosen = Chosen({"embedding_size": 99, "regulariser": 0.25}, "validation")
    entry = make_entry(table(), row, source, Options(seeds=2, patience=3), lambda model, source: chosen)
    assert [cell.settings.seed for cell in entry.cells] == [0, 1]
    assert {cell.settings.patience for cell in entry.cells} == {3}
    config = entry.cells[0].config
    assert (config.embedding_size, config.regulariser) == (8, 0.25)  # type: ignore[attr-defined]


def test_a_failed_choice_of_settings_fails_its_row_alone(source: Source, tmp_path: Path) -> None:
    from prismrec.experiments.tables.reproduce import reproduce

    def choose(model: str, source: Source) -> Chosen:
        if model == "VBPR":
            raise InputError("space", "no values", "one or more")
        return Chosen({}, "defaults")

    options = Options(seeds=1, epochs=1, device="cpu")
    outcome = reproduce(table(), [source], tmp_path, options, choose)
    assert [bool(row.error) for row in outcome.rows] == [False, False, True]
