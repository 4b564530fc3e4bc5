"""One trial of a search: train with some hyperparameters, and score the best epoch on the validation split."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prismrec.data import Dataset
from prismrec.errors import InputError
from prismrec.experiments.train import build_model, make_config
from prismrec.experiments.validation import make_validation
from prismrec.experiments.weights import memory_errors
from prismrec.models import GridValue, ModelConfig, Recommender
from prismrec.ops.device import flush_denormals
from prismrec.records import EpochRecord, Settings
from prismrec.training import Callback, CheckpointFolder, EpochEnd, fit

JOURNAL = "journal.log"
CHECKPOINTS = "checkpoints"
"""Files of a search."""
State = Literal["done", "failed", "running"]


@dataclass(frozen=True)
class Trial:
    """One combination of hyperparameters of a search.

    Attributes:
        number: in the journal.
        settings: the hyperparameters that are searched.
        state: `done`, `failed`, or `running`.
        value: the validation metric of the best epoch; None unless the trial is done.
        epochs: the number of that epoch; None unless the trial is done.
        seconds: time of the training, since the last interruption; None unless the trial has ended.
        error: why it failed.
    """

    number: int
    settings: Mapping[str, GridValue]
    state: State
    value: float | None = None
    epochs: int | None = None
    seconds: float | None = None
    error: str | None = None


class OutOfTimeError(Exception):
    """The time limit of a search has passed."""


@dataclass(frozen=True)
class Outcome:
    """The end of a trial.

    Attributes:
        value: the validation metric of the best epoch; None if the trial failed.
        epochs: the number of that epoch; 0 if the model has no weights to train.
        seconds: time of the training, since the last interruption.
        error: why the trial failed.
    """

    value: float | None = None
    epochs: int | None = None
    seconds: float = 0.0
    error: str | None = None


@dataclass(frozen=True)
class TrialRunner:
    """What all trials of a search share. It has no test split, and it can be sent to other processes.

    Attributes:
        model: the class of the model.
        dataset: the data, from `Dataset.without_test`.
        config: hyperparameters that have the same value in all trials.
        settings: seed, epochs, patience, metric and so on.
        checkpoints: a folder for the checkpoints of unfinished trials; None to write none.
        deadline: when the time limit passes, in seconds since 1970.
    """

    model: type[Recommender]
    dataset: Dataset
    config: Mapping[str, object]
    settings: Settings
    checkpoints: Path | None = None
    deadline: float | None = None

    def __call__(self, values: Mapping[str, GridValue], callbacks: Sequence[Callback] = ()) -> Outcome | None:
        """Train; None if the time limit passes before the end.

        Args:
            values: the hyperparameters of the trial. A trial that was interrupted resumes from its checkpoint.
            callbacks: called after each epoch.

        Raises:
            InputError: a checkpoint cannot be written.
        """
        start = time.perf_counter()
        try:
            value, epochs = self._train(values, callbacks)
        except OutOfTimeError:
            return None
        except InputError as error:
            if self.checkpoints is not None and error.where.startswith(str(self.checkpoints)):
                raise  # a full disk says nothing about the hyperparameters
            return Outcome(seconds=time.perf_counter() - start, error=str(error))
        except Exception as error:  # the search goes on and shows the error
            return Outcome(seconds=time.perf_counter() - start, error=f"{type(error).__name__}: {error}")
        return Outcome(value, epochs, time.perf_counter() - start)

    @flush_denormals()
    def _train(self, values: Mapping[str, GridValue], callbacks: Sequence[Callback]) -> tuple[float, int]:
        config = make_config(self.model, {**self.config, **values})
        model = build_model(self.model, self.dataset, config, self.settings)
        validate = make_validation(self.dataset, self.settings, None)
        assert validate is not None  # `tune` requires a validation split
        checkpoints = self._checkpoints(config)
        watch = [] if self.deadline is None else [_Deadline(self.deadline)]
        with memory_errors(model.name):
            trained = fit(
                model,
                self.dataset.train,
                self.settings,
                validate,
                checkpoints=checkpoints,
                callbacks=[*watch, *callbacks],
            )
            score = validate(trained.embeddings)[self.settings.metric]
        if checkpoints is not None:
            shutil.rmtree(checkpoints.folder, ignore_errors=True)
        return score, trained.progress.best_epoch

    def _checkpoints(self, config: ModelConfig) -> CheckpointFolder | None:
        """The folder of the checkpoints of this trial, named by all that determines its weights."""
        if self.checkpoints is None:
            return None
        parts = [self.model.name, config.model_dump(mode="json"), self.settings.model_dump(mode="json")]
        self.checkpoints.mkdir(exist_ok=True)
        text = json.dumps([*parts, self.dataset.fingerprint], sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()
        return CheckpointFolder(self.checkpoints / name[:16], name)


class _Deadline(Callback):
    """Ends a trial when the time limit passes; it resumes from its last checkpoint."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def on_epoch(self, _epoch: EpochEnd) -> None:
        if time.time() >= self._deadline:
            raise OutOfTimeError


class EpochReport(Callback):
    """Reports the epochs of a trial."""

    def __init__(self, report: Callable[[EpochRecord], None]) -> None:
        self._report = report

    def on_epoch(self, epoch: EpochEnd) -> None:
        """Report one epoch."""
        self._report(epoch.record)
