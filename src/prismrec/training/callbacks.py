"""Callbacks: code of the caller that a training calls at its start, after each epoch and at its end."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from prismrec.errors import ParameterError
from prismrec.models.base import ModelConfig
from prismrec.records import EpochRecord, Settings
from prismrec.types import Embeddings


@dataclass(frozen=True)
class TrainingStart:
    """What a callback learns before the first epoch.

    Attributes:
        model: name of the model.
        config: its hyperparameters.
        settings: seed, epochs, patience, device.
        history: the epochs before an interruption; empty unless the run is resumed.
    """

    model: str
    config: ModelConfig
    settings: Settings
    history: tuple[EpochRecord, ...] = ()


@dataclass(frozen=True)
class EpochEnd:
    """What a callback learns after an epoch.

    Attributes:
        record: number, loss terms, seconds and validation metrics of the epoch.
        best_epoch: the epoch with the best validation score so far; 0 before the first validation.
        embeddings: computes the embeddings of the model after this epoch, float32 copies on the CPU. It can be called
            only until the callback returns.
    """

    record: EpochRecord
    best_epoch: int
    embeddings: Callable[[], Embeddings]


@dataclass(frozen=True)
class TrainingEnd:
    """What a callback learns at the end of a training.

    Attributes:
        reason: why the training ended.
        epochs: number of epochs, including those before an interruption.
        best_epoch: the epoch with the best validation score; 0 if no epoch was validated.
        error: the exception that ended the training, such as `KeyboardInterrupt`; None if there was none.
    """

    reason: str
    epochs: int
    best_epoch: int
    error: BaseException | None = None


class Callback:
    """The base class of all callbacks; its methods do nothing. A callback overrides the methods that it needs.

    A callback never sees the test split.
    """

    def on_start(self, start: TrainingStart) -> None:
        """Called before the first epoch."""

    def on_epoch(self, epoch: EpochEnd) -> str | None:
        """Called after each epoch and its validation.

        Returns:
            The reason to stop the training, in a few words, or None to continue.
        """

    def on_end(self, end: TrainingEnd) -> None:
        """Called at the end, also if an error or Ctrl-C ended the training; called only if `on_start` returned."""


class CallbackList:
    """Calls several callbacks in order."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        """Keep the callbacks."""
        self._callbacks = callbacks
        self._started: list[Callback] = []

    def start(self, start: TrainingStart) -> None:
        """Call every `on_start`."""
        for callback in self._callbacks:
            callback.on_start(start)
            self._started.append(callback)

    def epoch(self, epoch: EpochEnd) -> str | None:
        """Call every `on_epoch`; returns the first reason to stop.

        Raises:
            ParameterError: one of them returned something other than None or a text, such as False.
        """
        reasons = [callback.on_epoch(epoch) for callback in self._callbacks]
        for callback, reason in zip(self._callbacks, reasons, strict=True):
            if reason is not None and (not isinstance(reason, str) or not reason):
                found = f"{reason!r:.60} from {type(callback).__name__}.on_epoch"
                raise ParameterError("callbacks", found, "None to continue, or the reason to stop as a text")
        return next((reason for reason in reasons if reason is not None), None)

    def end(self, end: TrainingEnd) -> None:
        """Call every `on_end` of a started callback, even if one of them raises an exception."""
        with ExitStack() as stack:
            for callback in reversed(self._started):
                stack.callback(callback.on_end, end)
