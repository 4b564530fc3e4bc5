"""What one training of a table gives."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from prismrec.records import EpochRecord, Settings


class Curve(BaseModel):
    """A training curve, thinned to at most 200 epochs."""

    model_config = ConfigDict(frozen=True)

    epochs: tuple[int, ...]
    valid: tuple[float | None, ...]
    """The validation metric that chooses the epoch."""
    loss: tuple[float, ...]
    """The sum of the loss terms."""


class Result(BaseModel):
    """What a cell contains: one training with one seed, measured once on the test split."""

    model_config = ConfigDict(frozen=True)

    key: str
    """SHA-256 of all that determines the result."""
    model: str
    config: dict[str, Any]
    settings: Settings
    data: str
    fingerprint: str
    modalities: tuple[str, ...]
    versions: dict[str, str]
    machine: dict[str, str]
    best_epoch: int
    epochs: int
    ended_by: str
    seconds: float
    """From the construction of the model to the end of the evaluation, without interruptions."""
    seconds_per_epoch: float
    """The median, without validation."""
    peak_bytes: int | None
    """Peak memory of the process; None on systems that do not report it."""
    parameters: int | None
    """Number of trained numbers; None if it is not known."""
    valid: dict[str, float]
    test: dict[str, float]
    item_groups: dict[str, dict[str, float]] = {}
    """The metrics of the test split by group of items, and the number of users with held-out items in the group."""
    measured: dict[str, float]
    """Numbers of the probe."""
    picture: Any
    """What the figure of the probe shows; None without a probe."""
    curve: Curve


def curve_of(history: Sequence[EpochRecord], metric: str) -> Curve:
    """The training curve of a history, by a validation metric."""
    step = max(1, -(-len(history) // 200))
    shown = history[::step]
    return Curve(
        epochs=tuple(record.epoch for record in shown),
        valid=tuple(record.valid[metric] if record.valid else None for record in shown),
        loss=tuple(sum(record.loss.values()) for record in shown),
    )
