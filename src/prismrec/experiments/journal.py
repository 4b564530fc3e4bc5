"""The journal of a search: which trials have run, and which comes next.

Optuna stores the trials in a file, and draws from spaces that are too large to try completely. One process at a time
reads and writes the journal. The system releases its lock if the process is killed.

A process that works on a search also holds a lock of its own. A trial that runs although nobody holds the lock of its
process was interrupted. It returns to the queue.
"""

import hashlib
import json
import random
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple

import optuna
from filelock import FileLock
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState

from prismrec.errors import InputError, parse_json
from prismrec.experiments.journal_file import drop_partial_line, is_held, open_study, quiet
from prismrec.experiments.space import Choices, Point, Range, Space
from prismrec.experiments.trial import Outcome, State, Trial
from prismrec.runs.lock import LOCK_NAME

_WORKERS = "workers"
_MOST_KILLS = 3
"""A trial whose process was killed this often has failed."""


class Claim(NamedTuple):
    """A trial that this process may run."""

    number: int
    point: Point


class Journal:
    """A search in a folder; a context, during which this process may claim trials.

    Attributes:
        path: the file.
        most: the number of trials of the whole search.
    """

    def __init__(
        self,
        path: Path,
        identity: Mapping[str, object],
        space: Space,
        first: Point | None,
        most: int,
        seed: int,
    ) -> None:
        """Open the journal, or begin it.

        Args:
            path: the file; its folder exists.
            identity: what must be equal when a search is continued, for JSON.
            space: the hyperparameters to search. A space of at most `most` combinations is tried completely.
            first: the combination to begin with; None if any.
            most: the largest number of trials.
            seed: of the order of the trials, and of what Optuna draws.

        Raises:
            InputError: the folder holds another search, or the journal cannot be read or written.
        """
        self.path = path
        self._lock = FileLock(path.parent / LOCK_NAME)
        self._workers = path.parent / _WORKERS
        self._worker = uuid.uuid4().hex
        self._alive = FileLock(self._workers / f"{self._worker}.lock")
        self._space = space
        self._first = first
        self._is_complete = space.size is not None and space.size <= most
        self.most = space.size if space.size is not None and self._is_complete else most
        self._seed = seed
        self._claimed: dict[int, optuna.Trial] = {}
        self._distributions = {name: _distribution(values) for name, values in space.settings.items()}
        with self._exclusive():
            self._study = open_study(self.path, self._lock)
            self._check_identity(parse_json(json.dumps(identity)))

    def __enter__(self) -> "Journal":
        with self._exclusive():  # another process may be about to remove the folder
            self._workers.mkdir(exist_ok=True)
            self._alive.acquire(blocking=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in list(self._claimed):
            self.release(number)
        self._alive.release()
        with suppress(InputError), self._exclusive():  # other processes may use the folder
            for path in self._workers.iterdir():
                is_held(path)  # removes those of this process and of killed ones
            self._workers.rmdir()

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Let no other process use the journal inside the block.

        Raises:
            InputError: the folder was removed, or cannot be written.
        """
        try:
            with self._lock:
                drop_partial_line(self.path)  # of a process that was killed meanwhile
                yield
        except OSError as error:
            raise InputError(self.path, error.strerror or str(error), "a file that can be written") from error

    def claim(self) -> Claim | Literal["wait"] | None:
        """The next trial; "wait" if none is left but another process is running one; None if all have ended."""
        with self._exclusive(), quiet():
            for trial in self._found(TrialState.RUNNING):
                if not self._is_alive(trial):
                    self._study.tell(trial.number, state=TrialState.FAIL)
            trials = self.trials()
            tried = {_key(trial.settings) for trial in trials}
            interrupted = self._interrupted(tried)
            if interrupted is not None:
                return self._begin(interrupted)
            if len(trials) < self.most:
                return self._begin(self._next(tried)) if self._is_complete else self._draw(tried)
            return "wait" if any(trial.state == "running" for trial in trials) else None

    def finish(self, number: int, outcome: Outcome) -> None:
        """Record the end of a claimed trial."""
        trial = self._claimed.pop(number)
        with self._exclusive(), quiet():
            trial.set_user_attr("seconds", outcome.seconds)
            if outcome.error is not None:
                trial.set_user_attr("error", outcome.error)
                self._study.tell(trial, state=TrialState.FAIL)
                return
            trial.set_user_attr("epochs", outcome.epochs)
            self._study.tell(trial, outcome.value)

    def release(self, number: int, *, killed: bool = False) -> None:
        """Return a claimed trial to the queue.

        Args:
            number: of the trial.
            killed: whether its process was killed.
        """
        trial = self._claimed.pop(number)
        with self._exclusive(), quiet():
            if not killed:
                trial.set_user_attr("released", True)
            self._study.tell(trial, state=TrialState.FAIL)

    def trials(self) -> tuple[Trial, ...]:
        """All trials that have ended or are running; one that was interrupted counts when it runs again."""
        with self._exclusive(), quiet():
            found = [trial for trial in self._found() if trial.params.keys() == self._space.settings.keys()]
        kills = Counter(_key(trial.params) for trial in found if _is_interrupted(trial) and not _is_released(trial))
        trials: dict[str, Trial] = {}
        for trial in found:
            key = _key(trial.params)
            if _is_interrupted(trial) and kills[key] >= _MOST_KILLS:
                error = f"its process was killed {kills[key]} times, perhaps because memory ran out"
                trials[key] = Trial(trial.number, trial.params, "failed", error=error)
            elif trial.state in _STATES and not _is_interrupted(trial) and "repeats" not in trial.user_attrs:
                trials[key] = _as_trial(trial)
        return tuple(sorted(trials.values(), key=lambda trial: trial.number))

    def place(self, trial: Trial) -> tuple[bool, int]:
        """What orders the trials. If all combinations are tried, it does not depend on the processes that do it."""
        return self._place(trial.settings) if self._is_complete else (False, trial.number)

    def _check_identity(self, identity: Mapping[str, object]) -> None:
        """Refuse to continue another search; keep the identity of a new one."""
        earlier = self._study.user_attrs.get("search")
        if earlier is None:
            self._study.set_user_attr("search", identity)
            return
        for name, before in earlier.items():
            if before != identity.get(name):
                expected = f"{json.dumps(identity.get(name))} as given now, or another folder"
                raise InputError(self.path, f"a search with {name} = {json.dumps(before)}", expected)

    def _found(self, *states: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states or None)

    def _is_alive(self, trial: FrozenTrial) -> bool:
        """Whether the process that runs a trial still exists."""
        worker = trial.user_attrs.get("worker")
        if worker in (None, self._worker):
            return trial.number in self._claimed
        return is_held(self._workers / f"{worker}.lock")

    def _interrupted(self, tried: set[str]) -> Point | None:
        """The first trial that was interrupted and did not run again."""
        for trial in self._found(TrialState.FAIL):
            is_whole = trial.params.keys() == self._space.settings.keys()
            if is_whole and _is_interrupted(trial) and _key(trial.params) not in tried:
                return trial.params
        return None

    def _next(self, tried: set[str]) -> Point:
        """The first combination that was not tried: that of the defaults, then the others in random order."""
        points = sorted(self._space.points(), key=self._place)
        return next(point for point in points if _key(point) not in tried)

    def _place(self, point: Mapping[str, object]) -> tuple[bool, int]:
        """What orders the combinations of a space that is tried completely."""
        return point != self._first, _hash(self._seed, _key(point))

    def _draw(self, tried: set[str]) -> Claim:
        """Run what Optuna draws, given the trials so far; another combination if it has been tried."""
        if not tried and self._first is not None:
            return self._begin(self._first)
        seed = _hash(self._seed, str(len(tried)))
        self._study.sampler = TPESampler(seed=seed % 2**32, constant_liar=True)
        trial = self._study.ask(self._distributions)
        if _key(trial.params) not in tried:
            return self._hold(trial)
        trial.set_user_attr("repeats", True)
        self._study.tell(trial, state=TrialState.FAIL)
        point, draws = trial.params, random.Random(seed)
        while _key(point) in tried:
            point = self._space.draw(draws)
        return self._begin(point)

    def _begin(self, point: Point) -> Claim:
        """Let this process run a combination."""
        if not self._found(TrialState.WAITING):  # a process may have been killed after the next line
            self._study.enqueue_trial(point)
        return self._hold(self._study.ask(self._distributions))

    def _hold(self, trial: optuna.Trial) -> Claim:
        """Mark a trial as one of this process."""
        trial.set_user_attr("worker", self._worker)
        self._claimed[trial.number] = trial
        return Claim(trial.number, trial.params)


def _distribution(values: Choices | Range) -> BaseDistribution:
    if isinstance(values, Choices):
        return CategoricalDistribution(values.values)
    if values.whole:
        return IntDistribution(int(values.low), int(values.high), log=values.log)
    return FloatDistribution(values.low, values.high, log=values.log)


def _key(point: Mapping[str, object]) -> str:
    return json.dumps(dict(point), sort_keys=True)


def _hash(seed: int, text: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {text}".encode()).digest()[:8])


_STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "done",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


def _is_interrupted(trial: FrozenTrial) -> bool:
    """Whether a trial ended without a result and without an error."""
    return trial.state == TrialState.FAIL and not trial.user_attrs.keys() & {"error", "repeats"}


def _is_released(trial: FrozenTrial) -> bool:
    return "released" in trial.user_attrs


def _as_trial(trial: FrozenTrial) -> Trial:
    state, facts = _STATES[trial.state], trial.user_attrs
    value = trial.value if state == "done" else None
    return Trial(
        trial.number, trial.params, state, value, facts.get("epochs"), facts.get("seconds"), facts.get("error")
    )
