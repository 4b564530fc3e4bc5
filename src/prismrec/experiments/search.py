"""Where the trials of a search run: in this process, in several processes, or on a Ray cluster."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Literal

import torch

from prismrec.cluster import LostWorkerError, RayWorkers
from prismrec.experiments.journal import Claim, Journal
from prismrec.experiments.space import Point, Space
from prismrec.experiments.trial import JOURNAL, EpochReport, Outcome, TrialRunner
from prismrec.records import EpochRecord

_SECONDS_BETWEEN_READS = 5
"""Time after which the trials of other processes are read again during a trial."""
_PAUSE = 0.3
"""Seconds between two looks at the journal while other processes run the last trials."""


@dataclass(frozen=True)
class TuneProgress:
    """How far a search is.

    Attributes:
        done: trials with a result.
        failed: trials that failed.
        running: trials that run, in this process and in others.
        left: trials that have not begun.
        error: the error of the last failed trial; None without one.
        best: the best validation metric so far; None before the first result.
        seconds_left: the estimated time to the end; None before the first result.
        number: the number of the trial whose epoch has just ended in this process; None at other times.
        point: its hyperparameters.
        epoch: that epoch.
    """

    done: int
    failed: int
    running: int
    left: int
    error: str | None = None
    best: float | None = None
    seconds_left: float | None = None
    number: int | None = None
    point: Mapping[str, object] | None = None
    epoch: EpochRecord | None = None


Report = Callable[[TuneProgress], None]


@dataclass(frozen=True)
class Search:
    """The definition of a search, shared by all processes that work on it. It contains no test split.

    Attributes:
        folder: where the journal and the checkpoints are.
        identity: what must be equal when the search is continued.
        space: the hyperparameters to search.
        first: the combination to begin with; None if any.
        most: the largest number of trials.
        runner: runs one trial.
    """

    folder: Path
    identity: Mapping[str, object]
    space: Space
    first: Point | None
    most: int
    runner: TrialRunner

    def open(self) -> Journal:
        """The journal.

        Raises:
            InputError: the folder holds another search, or the journal cannot be read or written.
        """
        return Journal(
            self.folder / JOURNAL, self.identity, self.space, self.first, self.most, self.runner.settings.seed
        )

    @property
    def size(self) -> int:
        """The number of trials."""
        return self.most if self.space.size is None else min(self.most, self.space.size)

    @property
    def is_out_of_time(self) -> bool:
        """Whether the time limit has passed."""
        return self.runner.deadline is not None and time.time() >= self.runner.deadline

    def run(self, journal: Journal, workers: int, report: Report | None) -> None:
        """Run trials until none is left, some in this process and some in others that it starts."""
        threads = torch.get_num_threads()
        share = max(threads // workers, 1)
        with _helpers(self, workers - 1, share):
            torch.set_num_threads(share)
            try:
                self.work(journal, report)
            finally:
                torch.set_num_threads(threads)

    def work(self, journal: Journal, report: Report | None = None) -> None:
        """Run trials in this process until none is left in any process, or the time limit passes."""
        progress = _Progress(journal, report)
        while not self.is_out_of_time:
            claim = journal.claim()
            progress.update()
            if claim is None:
                return
            if claim == "wait":
                time.sleep(_PAUSE)
                continue
            epochs = EpochReport(partial(progress.show_epoch, claim))
            outcome = self.runner(claim.point, [epochs])
            if outcome is None:
                journal.release(claim.number)
                return
            journal.finish(claim.number, outcome)

    def run_on_ray(self, journal: Journal, workers: int | None, report: Report | None) -> None:
        """Run trials on a Ray cluster until none is left in any process, or the time limit passes."""
        progress = _Progress(journal, report)
        runner = replace(self.runner, checkpoints=None)  # a worker may be another machine
        gpus = runner.settings.device != "cpu"
        with RayWorkers[Claim, Outcome | None](partial(_run_claim, runner), workers, gpus=gpus) as pool:
            while True:
                next_one = self._start_trials(journal, pool)
                progress.update()
                if pool.busy:
                    _end_trial(journal, pool.wait(_PAUSE))
                elif next_one is None:
                    return
                else:
                    time.sleep(_PAUSE)

    def _start_trials(
        self, journal: Journal, pool: RayWorkers[Claim, Outcome | None]
    ) -> Claim | Literal["wait"] | None:
        """Give trials to all free workers; returns None if no trial will follow."""
        claim: Claim | Literal["wait"] | None = None
        while pool.free and not self.is_out_of_time:
            claim = journal.claim()
            if not isinstance(claim, Claim):
                break
            pool.start(claim)
        return claim


def _run_claim(runner: TrialRunner, claim: Claim) -> Outcome | None:
    return runner(claim.point)


def _end_trial(journal: Journal, ended: tuple[Claim, Outcome | LostWorkerError | None] | None) -> None:
    """Record the end of a trial on a cluster, if one has ended."""
    if ended is None:
        return
    claim, outcome = ended
    if isinstance(outcome, Outcome):
        journal.finish(claim.number, outcome)
    else:
        journal.release(claim.number, killed=outcome is not None)


class _Progress:
    """Reads the journal when a trial begins or ends, and reports."""

    def __init__(self, journal: Journal, report: Report | None) -> None:
        self._journal = journal
        self._report = report
        self._now = TuneProgress(0, 0, 0, journal.most)
        self._read_again = 0.0

    def update(self) -> None:
        """Report the trials if they have changed."""
        if self._report is None:
            return
        trials = self._journal.trials()
        self._read_again = time.monotonic() + _SECONDS_BETWEEN_READS
        values = [trial.value for trial in trials if trial.value is not None]
        seconds = [trial.seconds for trial in trials if trial.state == "done" and trial.seconds is not None]
        running = sum(trial.state == "running" for trial in trials)
        left = max(self._journal.most - len(trials), 0)
        now = TuneProgress(
            done=sum(trial.state == "done" for trial in trials),
            failed=sum(trial.state == "failed" for trial in trials),
            running=running,
            left=left,
            error=next((trial.error for trial in reversed(trials) if trial.error is not None), None),
            best=max(values, default=None),
            seconds_left=mean(seconds) * (left + running) / max(running, 1) if seconds else None,
        )
        if now != self._now:
            self._now = now
            self._report(now)

    def show_epoch(self, claim: Claim, record: EpochRecord) -> None:
        """Report an epoch of a trial in this process."""
        if self._report is not None:
            if time.monotonic() >= self._read_again:  # other processes change the journal too
                self.update()
            self._report(replace(self._now, number=claim.number, point=claim.point, epoch=record))


@contextmanager
def _helpers(search: Search, count: int, threads: int) -> Iterator[None]:
    """Processes that work on the search, each with its own connection to the journal."""
    context = multiprocessing.get_context("spawn")
    helpers = [context.Process(target=_help, args=(search, threads), daemon=True) for _ in range(count)]
    for helper in helpers:
        helper.start()
    try:
        yield
    finally:
        for helper in helpers:  # after an error or Ctrl-C they save their last epoch; else they have nothing to do
            helper.terminate()
        for helper in helpers:
            helper.join()


def _help(search: Search, threads: int) -> None:
    """Work on the search in a helper process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its parent decides
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    try:
        with search.open() as journal:
            search.work(journal)
    except KeyboardInterrupt:
        return


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
