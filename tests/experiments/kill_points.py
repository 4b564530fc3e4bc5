"""Kill trainings at every file operation, and look at what each leaves behind.

    python tests/experiments/kill_points.py FOLDER [EPOCHS [STEP]]

Prints the number of kills per scenario, or the first failure. Processes are forked from this one, which has imported
the package already. A process dies at its n-th operation on a file below FOLDER, for n = 1, 2, … until it survives.
Extended and replaced runs are killed at every STEP-th operation only.
"""

import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch

import prismrec.evaluation
from prismrec.data import Dataset
from prismrec.experiments.train import train
from prismrec.records import Settings
from prismrec.runs import Run, find_problems
from prismrec.testing.toys import grouped_taste
from prismrec.types import Vocabulary

KILLED = 77
CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.chmod"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT

Action = Callable[[Path], None]


def dataset() -> Dataset:
    taste = grouped_taste(0)
    users = Vocabulary(pl.Series([f"u{number}" for number in range(taste.train.num_users)]), "user")
    items = Vocabulary(pl.Series([f"i{number}" for number in range(taste.train.num_items)]), "item")
    return Dataset("taste", taste.train, taste.test, taste.test, {}, {}, users, items)


def train_in(folder: Path, epochs: int, *, seed: int = 0, resume: bool = False, overwrite: bool = False) -> None:
    config = {"batch_size": 128, "embedding_size": 4}
    settings = Settings(epochs=epochs, patience=epochs, seed=seed, device="cpu")
    train("MF-BPR", dataset(), config, settings, out=folder, resume=resume, overwrite=overwrite)


def die_at(count: int, below: Path) -> None:
    """Let this process die at its operation of this number."""
    left = [count]

    def step(path: object) -> None:
        if not isinstance(path, str | Path) or not str(path).startswith(str(below)):
            return
        left[0] -= 1
        if not left[0]:
            os._exit(KILLED)

    def audit(event: str, arguments: tuple[object, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES
        if event in CHANGES or writes:
            step(arguments[0])

    def fsync(descriptor: int) -> None:  # flushing would take most of the time, and a kill does not lose it
        step(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    os.fsync = fsync
    sys.addaudithook(audit)


def in_a_fork(action: Callable[[], None]) -> int:
    """The exit code of an action in a process of its own."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        action()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def kill_everywhere(
    folder: Path, start: Path | None, action: Action, again: Action, ends: list[Path], step: int = 1
) -> int:
    """Kill `action` at each of its operations and call `again`; returns the number of kills.

    Args:
        folder: a place for run directories.
        start: the run directory at first, if there is one.
        action: trains in a run directory.
        again: what the user does after the kill.
        ends: the runs that may be loaded after a kill, the last of which must be there in the end.
        step: from one operation to the next.
    """
    run = folder / "run"
    count = kills = 0
    while True:
        count += step
        shutil.rmtree(run, ignore_errors=True)
        if start is not None:
            shutil.copytree(start, run)

        def killed(at: int = count) -> None:
            die_at(at, folder)
            action(run)

        def check() -> None:
            if start is not None:
                loaded = Run.load(run)
                assert any(same(loaded, Run.load(end)) for end in ends), "another run after the kill"
            os.fsync = lambda descriptor: None
            again(run)
            assert find_problems(run) == []
            assert same(Run.load(run), Run.load(ends[-1])), "other numbers"
            assert names(run) == names(ends[-1]), (names(run), names(ends[-1]))

        code = in_a_fork(killed)
        if code not in (0, KILLED):
            raise SystemExit(f"operation {count}: exit code {code}")
        if in_a_fork(check):
            raise SystemExit(f"operation {count}: the run cannot be used or completed after the kill")
        if code == 0:
            return kills
        kills += 1


def same(first: Run, second: Run) -> bool:
    return bool(
        np.array_equal(first.embeddings.users.numpy(), second.embeddings.users.numpy())
        and [record.loss for record in first.history] == [record.loss for record in second.history]
    )


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def main(folder: Path, epochs: int, step: int) -> None:
    torch.set_num_threads(1)
    assert prismrec.evaluation
    folder.mkdir(parents=True, exist_ok=True)
    short, whole, other = folder / "short", folder / "whole", folder / "other"
    for path, length, seed in ((short, 1, 0), (whole, epochs, 0), (other, epochs, 1)):
        if in_a_fork(lambda path=path, length=length, seed=seed: train_in(path, length, seed=seed)):
            raise SystemExit(f"{path} cannot be trained")

    def resume(run: Path) -> None:
        train_in(run, epochs, resume=True)

    def replace(run: Path) -> None:
        train_in(run, epochs, seed=1, overwrite=True)

    kills = kill_everywhere(folder, None, resume, resume, [whole])
    sys.stdout.write(f"new run: {kills} kills\n")
    kills = kill_everywhere(folder, short, resume, resume, [short, whole], step)
    sys.stdout.write(f"extended run: {kills} kills\n")
    kills = kill_everywhere(folder, short, replace, replace, [short, other], step)
    sys.stdout.write(f"replaced run: {kills} kills\n")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[2:]]
    main(Path(sys.argv[1]).resolve(), *numbers, *(2, 1)[len(numbers) :])
