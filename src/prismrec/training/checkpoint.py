"""What a killed run needs to go on, in plain files.

Randomness needs no state here: every epoch seeds its generators from (seed, epoch). So the weights, Adam's moments and
the progress at the end of an epoch are everything.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from prismrec.errors import InputError
from prismrec.files import replacing

_SHARE_OF_TIME = 0.05
"""At most this share of a run's time goes into checkpoints; small models write one after every epoch."""


class EpochRecord(BaseModel):
    """One line of a run's history."""

    model_config = ConfigDict(frozen=True)

    epoch: int
    """From 1."""
    loss: dict[str, float]
    """Mean of each loss term over the epoch's batches."""
    seconds: float
    """Training time of the epoch, without validation."""
    valid: dict[str, float] | None = None
    """Validation metrics, where the epoch was validated."""


class Progress(BaseModel):
    """How far a run has come."""

    model_config = ConfigDict(frozen=True)

    history: tuple[EpochRecord, ...] = ()
    best_epoch: int = 0
    """The epoch whose weights are the result so far; 0 before the first validation."""
    best_score: float | None = None
    validations_since_best: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """A run at the end of an epoch: weights and Adam's state by name, the best weights, the progress."""

    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    best_weights: dict[str, Tensor]
    progress: Progress


class CheckpointFolder:
    """The folder `checkpoint/` of a run directory: one file of state, one of the best weights."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._state = folder / "state.safetensors"
        self._last_end, self._last_cost = float("-inf"), 0.0

    def save_in_time(self, checkpoint: Checkpoint) -> None:
        """Save, unless checkpoints would then take more than their share of the time."""
        start = time.monotonic()
        if self._last_cost > _SHARE_OF_TIME * (start - self._last_end):
            return
        self.save(checkpoint)
        self._last_end = time.monotonic()
        self._last_cost = self._last_end - start

    def save(self, checkpoint: Checkpoint) -> None:
        """Write the state; a kill at any moment leaves the old state or the new one, with its best weights."""
        self.folder.mkdir(parents=True, exist_ok=True)
        best = self._best(checkpoint.progress)
        if checkpoint.best_weights and not best.exists():
            with replacing(best) as temporary:
                save_file(checkpoint.best_weights, temporary)
        tensors = {f"weights/{name}": tensor for name, tensor in checkpoint.weights.items()}
        tensors |= {f"optimizer/{name}": tensor for name, tensor in checkpoint.optimizer.items()}
        with replacing(self._state) as temporary:
            save_file(tensors, temporary, {"progress": checkpoint.progress.model_dump_json()})
        for old in self.folder.glob("best-*.safetensors"):
            if old != best:
                old.unlink()

    def load(self) -> Checkpoint | None:
        """The last state saved, or None where there is none yet.

        Raises:
            InputError: the file is there but cannot be read.
        """
        if not self._state.exists():
            return None
        try:
            with safe_open(self._state, "pt") as file:
                progress = Progress.model_validate_json(file.metadata()["progress"])
            tensors = load_file(self._state)
            best = self._best(progress)
            best_weights = load_file(best) if progress.best_epoch else {}
        except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
            raise InputError(self._state, str(error), "a checkpoint that this program wrote") from error
        groups: dict[str, dict[str, Tensor]] = {"weights": {}, "optimizer": {}}
        for key, tensor in tensors.items():
            group, name = key.split("/", 1)
            groups[group][name] = tensor
        return Checkpoint(groups["weights"], groups["optimizer"], best_weights, progress)

    def _best(self, progress: Progress) -> Path:
        return self.folder / f"best-{progress.best_epoch:06d}.safetensors"


def copy_weights(module: torch.nn.Module) -> dict[str, Tensor]:
    """A copy of all weights on the CPU, contiguous and unshared, as safetensors wants them."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in module.state_dict().items()}
