"""Choosing hyperparameters on the validation split."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prismrec.data import Dataset
from prismrec.experiments.space import Space
from prismrec.models import GridValue, Recommender
from prismrec.records import Settings

Engine = Literal["ray"]
TrialState = Literal["done", "failed", "running"]


@dataclass(frozen=True)
class Trial:
    """One combination of hyperparameters.

    Attributes:
        number: from 0, in the order of their starts.
        settings: the values.
        state: `done`, `failed`, or `running`.
        value: the validation metric of the best epoch; None unless the trial is done.
        epochs: the best epoch; None unless the trial is done.
        seconds: time of the training; None unless the trial has ended.
        error: why it failed.
    """

    number: int
    settings: Mapping[str, GridValue]
    state: TrialState
    value: float | None = None
    epochs: int | None = None
    seconds: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class TuneResult:
    """The chosen hyperparameters, and how they were found.

    Attributes:
        settings: the chosen values of the hyperparameters that were searched.
        config: these, and the fixed ones: what `train` takes.
        epochs: the best epoch of the chosen trial.
        value: its validation metric.
        trials: all trials by number.
        journal: the file of Optuna's journal.
    """

    settings: Mapping[str, GridValue]
    config: Mapping[str, object]
    epochs: int
    value: float
    trials: tuple[Trial, ...]
    journal: Path


@dataclass(frozen=True)
class TuneProgress:
    """How far a search is: trials done (with failed ones), running, left; the estimated time to the end."""

    done: int
    failed: int
    running: int
    left: int
    best: float | None
    seconds_left: float | None


def tune(
    model: str | type[Recommender],
    dataset: Dataset,
    space: Space | Mapping[str, object] | None = None,
    *,
    folder: Path | str,
    config: Mapping[str, object] | None = None,
    settings: Settings | None = None,
    metric: str | None = None,
    seed: int | None = None,
    trials: int | None = None,
    engine: Engine | None = None,
    workers: int = 1,
    time_limit: float | None = None,
    report: Callable[[TuneProgress], None] | None = None,
) -> TuneResult:
    """Choose hyperparameters on the validation split; the test split is not reachable.

    A space of at most `trials` combinations is tried completely. From a larger one, Optuna draws `trials`. Repeat the
    call to continue an interrupted search; several processes may work on one folder.

    Args:
        model: its name or class.
        dataset: the data; of its splits, only train and valid are used.
        space: hyperparameters to search, as `Space.of` takes them; None means the grid of the model.
        folder: a new folder, or that of the same search.
        config: hyperparameters that have the same value in all trials.
        settings: epochs, patience, device and so on of the trials.
        metric: the validation metric, instead of that of `settings`.
        seed: of the trials and of the search, instead of that of `settings`.
        trials: the largest number of trials; 50 if not given.
        engine: "ray" runs the trials on a Ray cluster, or on this machine if there is none.
        workers: trials that run at the same time.
        time_limit: seconds after which the search stops; the result is the best trial so far.
        report: called when a trial begins or ends, and after each epoch of a trial in this process.

    Raises:
        InputError: an argument cannot be used, the folder holds another search, or no trial succeeded.
    """
    raise NotImplementedError
