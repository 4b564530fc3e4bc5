"""Hyperparameters chosen on validation: complete, resumable, by several processes, without the test split."""

import gc
import json
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import optuna
import polars as pl
import pytest
from optuna.trial import TrialState
from torch import Tensor

import prismrec
from prismrec.data import Dataset
from prismrec.errors import InputError, ParameterError
from prismrec.experiments.config_file import read_config_file
from prismrec.experiments.search import TuneProgress
from prismrec.experiments.trial import Trial
from prismrec.experiments.tune import TuneResult, make_search, run_search, tune
from prismrec.records import Settings
from prismrec.testing.toys import grouped_taste
from prismrec.types import Interactions, Vocabulary

SPACE = {"learning_rate": [0.01, 0.05, 0.1], "regulariser": [0.0, 0.01]}
FIXED = {"embedding_size": 8, "batch_size": 128}
SETTINGS = Settings(epochs=3, device="cpu")


def make_dataset() -> Dataset:
    """120 users and 90 items; the test split has the pairs of the second half of the users."""
    taste = grouped_taste(0)
    late = taste.test.users >= 60
    valid = Interactions.from_pairs(taste.test.users[~late], taste.test.items[~late], 120, 90)
    test = Interactions.from_pairs(taste.test.users[late], taste.test.items[late], 120, 90)
    users = Vocabulary(pl.Series([f"u{number}" for number in range(120)]), "user")
    items = Vocabulary(pl.Series([f"i{number}" for number in range(90)]), "item")
    return Dataset("taste", taste.train, valid, test, {}, {}, users, items)


def search(folder: Path, **options: object) -> TuneResult:
    arguments = {"space": SPACE, "config": FIXED, "settings": SETTINGS, "folder": folder, **options}
    return tune("MF-BPR", make_dataset(), **arguments)


def points(trials: tuple[Trial, ...]) -> list[tuple[float, float]]:
    return sorted((trial.settings["learning_rate"], trial.settings["regulariser"]) for trial in trials)


def values(result: TuneResult) -> dict[str, float]:
    return {json.dumps(dict(trial.settings), sort_keys=True): trial.value for trial in result.trials}


EVERYTHING = sorted((rate, weight) for rate in SPACE["learning_rate"] for weight in SPACE["regulariser"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TuneResult:
    return search(tmp_path_factory.mktemp("tune") / "whole")


def test_a_small_space_is_tried_completely_and_the_best_trial_is_what_train_gives(whole: TuneResult) -> None:
    assert points(whole.trials) == EVERYTHING
    best = max(whole.trials, key=lambda trial: trial.value)
    assert (whole.value, whole.epochs) == (best.value, best.epochs)
    assert whole.config == {**FIXED, **best.settings}
    for trial in whole.trials:
        run = prismrec.train("MF-BPR", make_dataset(), {**FIXED, **trial.settings}, SETTINGS)
        assert run.evaluate("valid")["recall@20"] == trial.value
        assert run.best_epoch == trial.epochs


def test_the_config_file_of_the_best_trial_is_one_for_train(whole: TuneResult) -> None:
    content = read_config_file(whole.journal.parent / "best.yaml", "")
    assert content["model"] == "MF-BPR"
    assert content["config"] == whole.config
    assert Settings.model_validate(content["settings"]) == SETTINGS


def test_a_finished_search_is_read_and_one_with_more_trials_goes_on(whole: TuneResult, tmp_path: Path) -> None:
    first = search(tmp_path / "search", trials=4)
    assert len(first.trials) == 4
    assert search(tmp_path / "search", trials=4) == first
    assert values(search(tmp_path / "search")) == values(whole)


def test_a_large_space_is_drawn_from_without_repeats_and_begins_with_the_defaults(tmp_path: Path) -> None:
    space = {"learning_rate": [1e-4, 1e-3, 0.01, 0.1], "regulariser": [0.0, 1e-4, 0.01, 0.1]}
    options = {"space": space, "trials": 12, "settings": Settings(epochs=1, device="cpu")}
    result = search(tmp_path / "drawn", **options)  # Optuna's first 10 are random, the others are not
    assert len(set(points(result.trials))) == 12
    assert result.trials[0].settings == {"learning_rate": 1e-3, "regulariser": 1e-4}
    killed = fork(lambda: search(tmp_path / "again", report=die_at(5, 1), **options))
    assert exit_code(killed) == -signal.SIGKILL
    assert values(search(tmp_path / "again", **options)) == values(result)


def test_numbers_are_drawn_from_ranges(tmp_path: Path) -> None:
    space = {"weight_decay": {"low": 1e-8, "high": 1e-2, "scale": "log"}, "batch_size": {"low": 64, "high": 66}}
    for trial in search(tmp_path / "ranges", space=space, config={"embedding_size": 8}, trials=4).trials:
        assert 1e-8 <= trial.settings["weight_decay"] <= 1e-2
        assert trial.settings["batch_size"] in (64, 65, 66)


def fork(action: Callable[[], object]) -> int:
    """The id of a process that does this and exits; processes that are forked need not import the package."""
    process = os.fork()
    if process:
        return process
    try:
        action()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def exit_code(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def die_at(number: int, epoch: int) -> Callable[[TuneProgress], None]:
    """A report that kills this process after an epoch of a trial."""

    def report(progress: TuneProgress) -> None:
        if progress.epoch is not None and (progress.number, progress.epoch.epoch) == (number, epoch):
            os.kill(os.getpid(), signal.SIGKILL)

    return report


def study(folder: Path) -> optuna.Study:
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "journal.log"))
    return optuna.load_study(study_name="prismrec", storage=optuna.storages.JournalStorage(backend))


def test_a_killed_search_continues_with_the_trial_that_was_killed(whole: TuneResult, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    assert exit_code(fork(lambda: search(folder, report=die_at(2, 3)))) == -signal.SIGKILL
    killed = study(folder).trials[2]
    assert killed.state == TrialState.RUNNING
    epochs = []
    result = search(folder, report=lambda progress: progress.epoch and epochs.append(progress.epoch.epoch))
    assert values(result) == values(whole)
    assert epochs[0] > 1  # from its checkpoint
    assert study(folder).trials[3].params == killed.params
    assert list((folder / "checkpoints").iterdir()) == []


def test_a_trial_whose_process_is_killed_three_times_has_failed(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    for number in range(3):
        assert exit_code(fork(lambda number=number: search(folder, report=die_at(number, 1)))) == -signal.SIGKILL
    result = search(folder)
    failed = [trial for trial in result.trials if trial.state == "failed"]
    assert len(failed) == 1
    assert failed[0].error == "its process was killed 3 times, perhaps because memory ran out"
    assert points(result.trials) == EVERYTHING


def test_a_trial_whose_workers_on_a_cluster_are_lost_three_times_has_failed(tmp_path: Path) -> None:
    (tmp_path / "search").mkdir()
    made = make_search("MF-BPR", make_dataset(), {"learning_rate": [0.1]}, tmp_path / "search", FIXED, SETTINGS)
    with made.open() as journal:
        for _ in range(3):
            claim = journal.claim()
            assert claim.point == {"learning_rate": 0.1}
            journal.release(claim.number, killed=True)
        assert journal.claim() is None
        assert [trial.state for trial in journal.trials()] == ["failed"]


def test_two_processes_share_a_search_and_repeat_nothing(whole: TuneResult, tmp_path: Path) -> None:
    """The first trial of each waits until the other process has begun one, however late it starts."""
    folder = tmp_path / "shared"

    def workers() -> set[str]:
        return {trial.user_attrs["worker"] for trial in study(folder).trials if "worker" in trial.user_attrs}

    def wait_for_both(progress: TuneProgress) -> None:
        while progress.epoch is not None and len(workers()) < 2:
            time.sleep(0.05)

    other = fork(lambda: search(folder, report=wait_for_both))
    result = search(folder, report=wait_for_both)
    assert exit_code(other) == 0
    assert values(result) == values(whole)  # it waits for the last trials of the other
    assert len(study(folder).trials) == len(EVERYTHING)
    assert len(workers()) == 2


def test_a_process_takes_over_the_trial_of_one_that_is_killed_meanwhile(whole: TuneResult, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    stop = lambda progress: progress.epoch and os.kill(os.getpid(), signal.SIGSTOP)  # noqa: E731
    other = fork(lambda: search(folder, report=stop))
    os.waitpid(other, os.WUNTRACED)  # until it stops in its first trial
    fork(lambda: (time.sleep(1), os.kill(other, signal.SIGKILL)))  # while this process waits for it
    assert values(search(folder)) == values(whole)
    assert exit_code(other) == -signal.SIGKILL


def test_of_equal_trials_the_same_one_is_chosen_whichever_was_first(tmp_path: Path) -> None:
    """All combinations have the same value: the model has no weights. The second search gives the first trial back."""
    space = {"batch_size": [64, 128, 256]}
    made = make_search("most-popular", make_dataset(), space, tmp_path / "b", settings=SETTINGS)
    expected = tune("most-popular", make_dataset(), space, settings=SETTINGS, folder=tmp_path / "a")
    assert len({trial.value for trial in expected.trials}) == 1
    (tmp_path / "b").mkdir()
    with made.open() as slow, made.open() as fast:
        first = slow.claim()
        second = fast.claim()
        fast.finish(second.number, made.runner(second.point))
        slow.release(first.number)
    result = run_search(made)
    assert result.settings == expected.settings
    assert result.trials[0].settings == second.point != first.point == result.settings


def test_a_line_that_a_process_began_before_it_was_killed_does_not_harm_the_others(
    whole: TuneResult, tmp_path: Path
) -> None:
    folder = tmp_path / "shared"

    def begin_a_line(progress: TuneProgress) -> None:
        if progress.epoch is not None:
            with (folder / "journal.log").open("ab") as file:
                file.write(b'{"op_code": 5, "worker_')

    assert values(search(folder, report=begin_a_line)) == values(whole)


def test_the_lock_of_a_process_that_was_killed_between_two_trials_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    search(folder, trials=1)
    (folder / "workers").mkdir()
    (folder / "workers" / "0123.lock").touch()  # as it leaves it
    search(folder)
    assert not (folder / "workers").exists()


def test_helpers_work_on_the_same_search(whole: TuneResult, tmp_path: Path) -> None:
    assert values(search(tmp_path / "search", workers=2)) == values(whole)


def test_ray_runs_trials_on_two_workers(whole: TuneResult, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs prismrec[ray]")
    most_at_once = []
    report = most_at_once.append
    result = search(tmp_path / "ray", engine="ray", workers=2, report=lambda progress: report(progress.running))
    assert values(result) == values(whole)
    assert max(most_at_once) == 2


def test_a_failed_trial_keeps_its_error_and_the_others_run(tmp_path: Path) -> None:
    space = {"heads": [2, 3], "hyperedges": [4]}
    result = tune("SHT", make_dataset(), space, config=FIXED, settings=SETTINGS, folder=tmp_path / "search")
    done, failed = sorted(result.trials, key=lambda trial: trial.state)
    assert (done.state, done.settings["heads"], done.error) == ("done", 2, None)
    assert (failed.state, failed.settings["heads"], failed.value) == ("failed", 3, None)
    assert failed.error == (
        "SHT: found embedding_size 8 is not a multiple of heads 3; expected hyperparameters that fit together"
    )


def test_a_search_without_a_result_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"found 1 trials that failed, the first with: SHT: .*multiple of heads 3"):
        tune("SHT", make_dataset(), {"heads": [3]}, config=FIXED, settings=SETTINGS, folder=tmp_path / "search")


def test_the_time_limit_interrupts_a_trial_that_a_later_call_resumes(
    whole: TuneResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, now = tmp_path / "limited", [time.time()]
    monkeypatch.setattr(time, "time", lambda: now[0])

    def pass_time(progress: TuneProgress) -> None:
        if progress.epoch is not None and (progress.number, progress.epoch.epoch) == (1, 2):
            now[0] += 100

    result = search(folder, time_limit=60, report=pass_time)
    assert [trial.number for trial in result.trials] == [0]
    epochs = []
    result = search(folder, report=lambda progress: progress.epoch and epochs.append(progress.epoch.epoch))
    assert epochs[0] > 1
    assert values(result) == values(whole)
    with pytest.raises(ParameterError, match="time_limit: found a time in which no trial ended"):
        search(tmp_path / "none", time_limit=1e-9)


def test_another_search_in_the_folder_is_refused(whole: TuneResult, tmp_path: Path) -> None:
    folder = whole.journal.parent
    with pytest.raises(InputError, match=r"a search with space = .*; expected .* as given now, or another folder"):
        search(folder, space={"learning_rate": [0.01]})
    with pytest.raises(InputError, match="a search with config ="):
        search(folder, config={**FIXED, "embedding_size": 4})
    with pytest.raises(InputError, match="a search with settings ="):
        search(folder, seed=1)
    (tmp_path / "file.txt").touch()
    with pytest.raises(InputError, match="something other than a search; expected a new or empty folder"):
        search(tmp_path)


def test_half_a_line_at_the_end_of_the_journal_is_dropped_and_other_contents_are_refused(tmp_path: Path) -> None:
    first = search(tmp_path / "search", trials=2)
    content = first.journal.read_bytes()
    first.journal.write_bytes(content + content.splitlines()[-1][:20])
    assert len(search(tmp_path / "search", trials=3).trials) == 3
    for other in (b"not a journal\n", b"\xff\x00" * 20, b'{"op_code": 99}\n', b"[]\n", b"null\n"):
        first.journal.write_bytes(other)
        with pytest.raises(InputError, match=r"journal\.log: found .*; expected the journal of a search"):
            search(tmp_path / "search")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"space": {"layers": [1]}}, "space.layers: found no such hyperparameter"),
        ({"config": {"embedding_size": "wide"}}, "config.embedding_size: found 'wide'"),
        ({"metric": "recall"}, "metric: found 'recall'"),
        ({"trials": 0}, "trials: found 0"),
        ({"time_limit": -1.0}, "time_limit: found -1.0"),
        ({"workers": 0}, "workers: found 0"),
        ({"engine": "slurm"}, "engine: found 'slurm'; expected 'ray' or None"),
    ],
)
def test_bad_arguments_leave_nothing(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        search(tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_missing_extras_are_named_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("prismrec.cluster.find_spec", lambda name: None)
        with pytest.raises(ParameterError, match=r"engine: found 'ray', which is not installed.*prismrec\[ray\]"):
            search(tmp_path / "new", engine="ray")
    for name in ("search", "journal", "journal_file"):
        monkeypatch.delitem(sys.modules, f"prismrec.experiments.{name}")
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"found no Optuna; expected pip install 'prismrec\[tune\]'"):
        search(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_folders_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        with pytest.raises(InputError):
            search(path)


def test_data_that_cannot_be_tuned_on_are_refused(tmp_path: Path) -> None:
    dataset = make_dataset()
    without = replace(dataset, valid=Interactions.from_pairs([], [], 120, 90))
    with pytest.raises(InputError, match="no validation interactions"):
        tune("MF-BPR", without, folder=tmp_path / "new")
    with pytest.raises(InputError, match="0 modalities; expected 1 or more for VBPR"):
        tune("VBPR", dataset, folder=tmp_path / "new")
    assert not (tmp_path / "new").exists()


class Untouchable(Interactions):
    """A split that nobody may look at once it is armed."""

    armed = False

    def __getattribute__(self, name: str) -> object:
        if type(self).armed and not name.startswith("__"):
            raise AssertionError(f"the test split was asked for {name!r}")
        return super().__getattribute__(name)


def test_tuning_never_touches_the_test_split(
    whole: TuneResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_dataset()
    guarded = replace(dataset, test=Untouchable(dataset.test.users, dataset.test.items, 120, 90))
    monkeypatch.setattr(Untouchable, "armed", True)
    with pytest.raises(AssertionError, match="the test split was asked for 'users'"):
        _ = guarded.test.users
    result = tune("MF-BPR", guarded, SPACE, config=FIXED, settings=SETTINGS, folder=tmp_path / "search")
    assert values(result) == values(whole)


def reachable(start: object) -> list[np.ndarray]:
    """All arrays that can be reached from an object, by attributes, items, closures and the bases of views."""
    arrays, seen, waiting = [], set(), [start]
    while waiting:
        current = waiting.pop()
        if id(current) in seen or isinstance(current, type | ModuleType):
            continue
        seen.add(id(current))
        if isinstance(current, Tensor):
            current = current.detach().numpy()
        if isinstance(current, np.ndarray):
            arrays.append(current)
            waiting.append(current.base)
        waiting += gc.get_referents(current)
    return arrays


def test_the_test_split_cannot_be_reached_from_the_trials(tmp_path: Path) -> None:
    """Neither from what runs the trials, nor from a model inside one."""
    dataset = make_dataset()

    def holds(start: object, split: Interactions) -> bool:
        return any(np.array_equal(array, split.items) for array in reachable(start))

    made = make_search("MF-BPR", dataset, SPACE, tmp_path / "search", FIXED, SETTINGS)
    assert holds(dataset, dataset.test)  # the walk finds what is there
    assert holds(made, dataset.valid)
    assert not holds(made, dataset.test)
    assert dataset.test.items.tobytes() in pickle.dumps(dataset)
    assert dataset.test.items.tobytes() not in pickle.dumps(made)
