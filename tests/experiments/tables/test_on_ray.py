"""Trainings of a table on two workers of Ray."""

import threading
import time
from pathlib import Path

import pytest

from experiments.tables.examples import run, table
from prismrec.experiments.tables.plan import Chosen, Options, make_entry
from prismrec.experiments.tables.sources import Source
from prismrec.experiments.tables.work import Progress, Watcher
from prismrec.runs.lock import locked

ROWS = [
    {"label": "MF", "model": "MF-BPR"},
    {"label": "diverges", "model": "MF-BPR", "config": {"learning_rate": 1e30}},
    {"label": "VBPR", "model": "VBPR", "config": {"embedding_size": 8}},
]


class Log(Watcher):
    def __init__(self) -> None:
        self.steps: list[Progress] = []

    def progress(self, progress: Progress) -> None:
        self.steps.append(progress)


def test_ray_computes_the_same_cells_on_two_workers(source: Source, tmp_path: Path) -> None:
    """One of the cells is computed by another process at first, which is a thread that holds its lock."""
    pytest.importorskip("ray", reason="needs prismrec[ray]")
    three = table(rows=ROWS, claims=[])
    here = run(three, source, tmp_path / "here", seeds=2)
    options = Options(seeds=2, epochs=2, device="cpu")
    first = make_entry(three, three.rows[0], source, options, lambda model, source: Chosen({}, "")).cells[0]
    held = threading.Event()

    def hold() -> None:
        with locked(tmp_path / "ray" / "cells" / f"{first.key}.unfinished"):
            held.set()
            time.sleep(3)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    log = Log()
    there = run(three, source, tmp_path / "ray", log, seeds=2, engine="ray", workers=2)
    thread.join()
    assert [row.metrics for row in there.rows] == [row.metrics for row in here.rows]
    assert [row.error for row in there.rows] == [row.error for row in here.rows]
    assert here.rows[1].error
    assert max(len(step.running.split(", seed")) - 1 for step in log.steps) == 2
    assert (log.steps[-1].done, log.steps[-1].failed) == (4, 2)
    stored = {path.name for path in (tmp_path / "ray" / "cells").iterdir()}
    assert stored == {path.name for path in (tmp_path / "here" / "cells").iterdir()}
    again = Log()
    assert run(three, source, tmp_path / "ray", again, seeds=2, finished_only=True).rows[2] == there.rows[2]
