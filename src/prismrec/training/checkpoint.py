"""What an interrupted run needs to resume, in plain files.

A checkpoint holds the weights, the state of Adam and the progress at the end of an epoch. Every epoch seeds its random
generators from (seed, epoch), so no random state is stored.
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
from prismrec.files import make_folder, replacing, require_regular
from prismrec.records import EpochRecord

_SHARE_OF_TIME = 0.05
"""The largest share of a run's time that checkpoints may take. Small models save after every epoch."""
_READ_ERRORS = (OSError, KeyError, ValueError, RuntimeError, SafetensorError)


class Progress(BaseModel):
    """The state of a run between two epochs."""

    model_config = ConfigDict(frozen=True)

    history: tuple[EpochRecord, ...] = ()
    best_epoch: int = 0
    """The epoch with the best validation score so far; 0 before the first validation."""
    best_score: float | None = None
    """The validation score of that epoch."""
    validations_since_best: int = 0
    """Validations after that epoch, none of which was better."""


@dataclass(frozen=True)
class Checkpoint:
    """A run at the end of an epoch: weights and Adam's state by name, the best weights, the progress."""

    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    best_weights: dict[str, Tensor]
    progress: Progress


class CheckpointFolder:
    """The folder `checkpoint/` of a run directory: one file of state, one of the best weights."""

    def __init__(self, folder: Path, run: str = "") -> None:
        """Name the folder; `save` creates it.

        Args:
            folder: where the files are.
            run: identifies the run, so that the checkpoint of another run is refused.
        """
        self.folder = folder
        self._run = run
        self._state = folder / "state.safetensors"
        self._last_end = float("-inf")  # seconds at the end of the last save
        self._last_cost = 0.0  # seconds of the last save

    @property
    def is_due(self) -> bool:
        """Whether a save now would leave checkpoints within their share of the time."""
        return self._last_cost <= _SHARE_OF_TIME * (time.monotonic() - self._last_end)

    def save(self, checkpoint: Checkpoint) -> None:
        """Write the state. At every moment, the folder holds the old or the new state with its best weights.

        Raises:
            InputError: a file cannot be written.
        """
        start = time.monotonic()
        make_folder(self.folder)
        best = self.best_file(checkpoint.progress)
        if checkpoint.best_weights and not best.exists():
            with replacing(best) as temporary:
                save_file(checkpoint.best_weights, temporary)
        tensors = {f"weights/{name}": tensor for name, tensor in checkpoint.weights.items()}
        tensors |= {f"optimizer/{name}": tensor for name, tensor in checkpoint.optimizer.items()}
        metadata = {"progress": checkpoint.progress.model_dump_json(), "run": self._run}
        with replacing(self._state) as temporary:
            save_file(tensors, temporary, metadata)
        self._remove_other_best_files(best)
        self._last_end = time.monotonic()
        self._last_cost = self._last_end - start

    def load(self) -> Checkpoint | None:
        """The last saved state, or None if there is none.

        Raises:
            InputError: the state cannot be read or is that of another run.
        """
        progress = self.progress()
        # A killed process may have left best weights that it did not get to use.
        self._remove_other_best_files(None if progress is None else self.best_file(progress))
        if progress is None:
            return None
        try:
            require_regular(self._state)
            tensors = load_file(self._state)
            best_weights = {}
            if progress.best_epoch:
                require_regular(self.best_file(progress))
                best_weights = load_file(self.best_file(progress))
        except _READ_ERRORS as error:
            raise InputError(self._state, str(error), "a checkpoint that this program wrote") from error
        weights = {name[len("weights/") :]: x for name, x in tensors.items() if name.startswith("weights/")}
        optimizer = {name[len("optimizer/") :]: x for name, x in tensors.items() if name.startswith("optimizer/")}
        return Checkpoint(weights, optimizer, best_weights, progress)

    def progress(self) -> Progress | None:
        """The progress of the last saved state, or None if there is none.

        Raises:
            InputError: the state cannot be read or is that of another run.
        """
        if not self._state.exists():
            return None
        try:
            require_regular(self._state)
            with safe_open(self._state, "pt") as file:
                metadata = file.metadata()
            progress = Progress.model_validate_json(metadata["progress"])
        except (*_READ_ERRORS, TypeError) as error:  # without metadata, safetensors returns None
            raise InputError(self._state, str(error), "a checkpoint that this program wrote") from error
        if self._run and metadata.get("run", self._run) != self._run:
            expected = "the checkpoint of this model, config, seed and data"
            raise InputError(self._state, "the checkpoint of another run", expected)
        return progress

    def _remove_other_best_files(self, kept: Path | None) -> None:
        for path in self.folder.glob("best-*.safetensors"):
            if path != kept:
                path.unlink(missing_ok=True)

    def best_file(self, progress: Progress) -> Path:
        """The file of the best weights at a state."""
        return self.folder / f"best-{progress.best_epoch:06d}.safetensors"


def copy_weights(module: torch.nn.Module) -> dict[str, Tensor]:
    """A copy of all weights on the CPU, contiguous and unshared, as safetensors requires."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in module.state_dict().items()}


def copy_optimizer_state(module: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """A copy of the optimiser's state on the CPU, named "weight/key"."""
    state = {}
    for name, parameter in module.named_parameters():
        for key, tensor in optimizer.state.get(parameter, {}).items():
            state[f"{name}/{key}"] = tensor.to("cpu", copy=True).contiguous()
    return state


def restore_optimizer_state(
    module: torch.nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Tensor]
) -> None:
    """Load a state from `copy_optimizer_state` into an optimiser.

    Raises:
        ValueError: the names or shapes are those of another model.
    """
    parameters = dict(module.named_parameters())
    for full_name, tensor in state.items():
        name, _, key = full_name.rpartition("/")
        parameter = parameters.get(name)
        if parameter is None:
            raise ValueError(f"optimiser state of {name!r}, which the model does not have")
        expected = parameter.shape if key.startswith("exp_avg") else torch.Size([])
        if tensor.shape != expected:
            raise ValueError(f"{key} of {name!r} has shape {list(tensor.shape)}, not {list(expected)}")
        optimizer.state[parameter][key] = tensor.to(parameter.device, copy=True)
