"""The trainings of a table on a Ray cluster, or on the cores of this machine if there is none."""

import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from prismrec.cluster import LostWorkerError, RayWorkers
from prismrec.experiments.tables import cells
from prismrec.experiments.tables.cells import Cell
from prismrec.experiments.tables.plan import describe_error
from prismrec.experiments.tables.work import Work
from prismrec.runs.lock import BusyError

_PAUSE = 0.3
"""Seconds between two looks at trainings."""
Files = Mapping[str, bytes]


def run_on_ray(work: Work, workers: int | None) -> None:
    """Train what is pending, several cells at a time. A cell that fails is recorded with its error.

    This process holds the locks of the cells and stores their results, so the workers need no common file system. They
    write no checkpoints: a cell that is interrupted begins again.

    Args:
        work: the cells.
        workers: the largest number of cells at a time; None means one per core, or per GPU.
    """
    if not work.pending:
        return
    gpus = any(cell.settings.device != "cpu" for cell in work.pending.values())
    tasks = dict(work.pending)
    running: dict[str, ExitStack] = {}
    with RayWorkers[str, Files | str](partial(_train, tasks), workers, gpus=gpus) as pool, ExitStack() as locks:
        while work.pending or running:
            _start(work, pool, running, locks)
            work.report(", ".join(work.labels[key] for key in running), [tasks[key] for key in running])
            if not running:
                time.sleep(_PAUSE)
                continue
            ended = pool.wait()
            if ended is not None:
                key, outcome = ended
                _end(work, tasks[key], outcome)
                running.pop(key).close()
    work.report("")


def _start(work: Work, pool: RayWorkers[str, Files | str], running: dict[str, ExitStack], locks: ExitStack) -> None:
    """Start cells on all free workers. Skip cells that other processes compute."""
    for key, cell in list(work.pending.items()):
        if not pool.free:
            return
        lock = locks.enter_context(ExitStack())
        try:
            lock.enter_context(cells.claimed(cell, work.folder))
        except BusyError:
            continue
        del work.pending[key]
        found = cells.find_result(cell, work.folder)  # of another process that has ended meanwhile
        if found is not None:
            work.results[key] = found
            lock.close()
            continue
        running[key] = lock
        pool.start(key)


def _end(work: Work, cell: Cell, outcome: Files | str | LostWorkerError) -> None:
    """Store the result of a cell, or record its error."""
    if isinstance(outcome, Mapping):
        work.results[cell.key] = cells.store(cell, work.folder, outcome)
    elif isinstance(outcome, str):
        work.fail(cell.key, outcome)
    else:
        work.fail(cell.key, f"its process was killed, perhaps because memory ran out: {outcome}")


def _train(tasks: Mapping[str, Cell], key: str) -> Files | str:
    """The files of a cell by name, or its error."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            cells.compute(tasks[key], Path(folder))
            return {path.name: path.read_bytes() for path in (Path(folder) / key).iterdir()}
    except Exception as error:  # the other cells go on
        return describe_error(error)
