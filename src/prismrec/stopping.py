"""When a training stops, and why it did: functions of its settings and its history alone.

docs/training.md compares the rule `patience="auto"` with others. Bengio (2012), "Practical recommendations for
gradient-based training of deep architectures", section 3.1, describes patience that grows with each new best epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from prismrec.records import EpochRecord, Settings

LEAST_EPOCHS = 50
"""`auto` waits at least this number of epochs for an improvement."""
SHARE_OF_BEST = 0.5
"""`auto` waits at least this share of the epochs up to the best one."""
LEAST_VALIDATIONS = 10
"""`auto` waits at least for this number of validations; it matters only if few epochs are validated."""
RISING = 0.01
"""A relative gain of the validation metric above which its curve counts as still rising."""

Reason = Literal["no_improvement", "epoch_limit", "callback", "interrupted", "untrained"]


def out_of_patience(settings: Settings, epochs: int, best_epoch: int, validations_since_best: int) -> bool:
    """Whether the validation metric has not improved for too long.

    Args:
        settings: the patience.
        epochs: epochs trained.
        best_epoch: the epoch with the best validation score, from 1; 0 before the first validation.
        validations_since_best: validations after that epoch.
    """
    if settings.patience != "auto":
        return validations_since_best >= settings.patience
    enough_validations = validations_since_best >= LEAST_VALIDATIONS
    return enough_validations and epochs - best_epoch >= max(LEAST_EPOCHS, SHARE_OF_BEST * best_epoch)


@dataclass(frozen=True)
class Ending:
    """Why a training ended.

    Attributes:
        reason: `no_improvement` if the patience was exhausted, `epoch_limit` after the largest number of epochs,
            `callback` if a callback stopped it, `interrupted` if it was stopped before, `untrained` if the model has no
            weights to train.
        epochs: number of epochs.
        best_epoch: the epoch with the best validation score, from 1; 0 without validation.
        late_gain: by how much the last quarter of the epochs raised the best validation score, relative to the best
            score before; 0 without validation.
        stop: what the callback gave as its reason; None if no callback stopped the training.
    """

    reason: Reason
    epochs: int
    best_epoch: int
    late_gain: float
    stop: str | None = None

    @property
    def rising(self) -> bool:
        """Whether the last quarter raised the best validation score by more than 1 %."""
        return self.late_gain > RISING

    def describe(self, metric: str) -> str:
        """One sentence for people; `metric` is the name of the validation metric. Empty if nothing was trained."""
        if self.reason == "untrained":
            return ""
        if self.reason == "no_improvement":
            text = f"stopped after epoch {self.epochs}: no better validation {metric} since epoch {self.best_epoch}"
        elif self.reason == "epoch_limit":
            text = f"reached the limit of {self.epochs} epoch{'s' * (self.epochs != 1)}"
        elif self.reason == "callback":
            text = f"stopped after epoch {self.epochs} by a callback" + (f": {self.stop}" if self.stop else "")
        else:
            text = f"interrupted after epoch {self.epochs}"
        if not self.rising:
            return text
        option = "patience" if self.reason == "no_improvement" else "epochs"
        gain = f"validation {metric} still rose by {self.late_gain:.1%} in the last quarter of the epochs"
        return f"{text}; {gain}, so more {option} may help"


def find_ending(history: Sequence[EpochRecord], settings: Settings) -> Ending:
    """Why the training with this history ended, or would end if it stopped now."""
    metric = settings.metric
    scores = [(record.epoch, record.valid[metric]) for record in history if record.valid and metric in record.valid]
    best_epoch = since_best = 0
    best = float("-inf")
    for epoch, score in scores:
        since_best += 1
        if score > best:
            best_epoch, best, since_best = epoch, score, 0
    stop = history[-1].stop if history else None
    reason: Reason = "interrupted"
    if not history:
        reason = "untrained"
    elif stop is not None:
        reason = "callback"
    elif out_of_patience(settings, len(history), best_epoch, since_best):
        reason = "no_improvement"
    elif len(history) >= settings.epochs:
        reason = "epoch_limit"
    return Ending(reason, len(history), best_epoch, _late_gain(scores, len(history)), stop)


def _late_gain(scores: Sequence[tuple[int, float]], epochs: int) -> float:
    early = max((score for epoch, score in scores if epoch <= 0.75 * epochs), default=0.0)
    late = max((score for epoch, score in scores if epoch > 0.75 * epochs), default=0.0)
    return max(late / early - 1, 0.0) if early > 0 else 0.0
