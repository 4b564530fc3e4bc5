"""The settings of a training, and its record of each epoch."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from prismrec.parameters import Parameters

Normalisation = Literal["none", "rows", "standardise"]


class Settings(Parameters):
    """How to run a training; the hyperparameters of a model are in its config."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    """Seed of initial weights, batches, negatives and noise. On one CPU, runs with the same seed are bit-identical.
    On a GPU, they differ by rounding errors, because a GPU adds in no fixed order."""
    epochs: PositiveInt = 1000
    """The largest number of epochs."""
    patience: PositiveInt | Literal["auto"] = "auto"
    """Stop after this many validations without an improvement. With `auto`, stop after 50 epochs without one, or after
    half the number of the best epoch if that is more, but after at least 10 validations."""
    validate_every: PositiveInt = 1
    """Epochs from one validation to the next."""
    validation_users: PositiveInt | Literal["auto"] = "auto"
    """A validation ranks items for at most this many users, a random sample of those with validation interactions. It
    is the same sample in every epoch and for every seed and model. `auto`: as many as make 10⁹ pairs with all items,
    but at least 10,000."""
    metric: str = "recall@20"
    """The validation metric that chooses the best epoch."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` uses a GPU if there is one."""
    precision: Literal["float32", "bf16"] = "float32"
    """Precision of products with constant features, in models that have them. `bf16` rounds features, their weights and
    gradients to 8 bits of mantissa for the product. That halves the memory of features and is faster on processors with
    bfloat16 units. All other computations are in float32."""
    normalise: Normalisation = "none"
    """What happens to the features of each modality before the model gets them. `rows` divides each row by its length,
    `standardise` gives each column mean 0 and variance 1."""


class DataOrigin(BaseModel):
    """Where the command line read a data set, and how."""

    model_config = ConfigDict(frozen=True)

    source: str
    """The folder or file, as it was given."""
    options: dict[str, Any] = {}
    """Options of the command by name, if they were not left at their defaults."""


class EpochRecord(BaseModel):
    """One line of the history of a run."""

    model_config = ConfigDict(frozen=True)

    epoch: int
    """From 1."""
    loss: dict[str, float]
    """Mean of each loss term over the batches of the epoch."""
    seconds: float
    """Training time of the epoch, without validation."""
    valid: dict[str, float] | None = None
    """Validation metrics, if the epoch was validated."""
    stop: str | None = None
    """The reason why a callback stopped the training after this epoch; None if none did."""


def best_epoch(history: Sequence[EpochRecord], metric: str) -> int:
    """The first epoch with the highest validation score, or the last epoch without validation; 0 without an epoch."""
    scores = {record.epoch: record.valid[metric] for record in history if record.valid is not None}
    return max(scores, key=scores.__getitem__) if scores else len(history)
