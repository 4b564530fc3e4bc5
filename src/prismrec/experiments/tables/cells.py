"""One training of a table: what determines it, its computation, its place on the disk."""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from prismrec.data import Dataset
from prismrec.errors import InputError
from prismrec.evaluation import Evaluation, ItemGroups, evaluate
from prismrec.experiments.bench import peak_bytes, reset_peak
from prismrec.experiments.environment import make_manifest
from prismrec.experiments.tables.code import code_of
from prismrec.experiments.tables.probes import PROBES, Probe
from prismrec.experiments.tables.result import Result, curve_of
from prismrec.experiments.train import build_model
from prismrec.experiments.validation import make_validation
from prismrec.experiments.weights import memory_errors
from prismrec.files import new_folder, read_text, replacing, write_text
from prismrec.models import ModelConfig, Recommender
from prismrec.records import Settings
from prismrec.runs.lock import LOCK_NAME, BusyError, locked
from prismrec.stopping import find_ending
from prismrec.training import Callback, CheckpointFolder, Trained, fit

FORMAT = 1
"""Part of the key of a cell. A change of what a cell contains raises it."""
_LATER = {"normalise": "none"}
"""Settings that were added after `FORMAT`, with their defaults. Defaults are left out of keys, so that the keys of
earlier cells stay valid."""
METRICS = ("recall", "ndcg", "precision", "map", "mrr", "hit")
CUTOFFS = (5, 10, 20, 50)
_FILE, _USERS, _UNFINISHED = "cell.json", "users.safetensors", ".unfinished"
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cell:
    """One training.

    Attributes:
        model: name of the model.
        config: its hyperparameters.
        settings: seed, epochs, patience, metric.
        dataset: the data, with the modalities that the row uses.
        probe: what is measured besides metrics.
        cutoffs: list lengths of the metrics.
        item_groups: number of groups of held-out items; None for no groups.
    """

    model: str
    config: ModelConfig
    settings: Settings
    dataset: Dataset
    probe: Probe | None = None
    cutoffs: tuple[int, ...] = CUTOFFS
    item_groups: int | None = None

    @cached_property
    def key(self) -> str:
        """SHA-256 (hex) of what determines the result, except the device."""
        settings = self.settings.model_dump(mode="json", exclude={"device"})
        content = {
            "format": FORMAT,
            "prismrec": version("prismrec"),
            "code": code_of(self.model),
            "model": self.model,
            "config": self.config.model_dump(mode="json"),
            "settings": {name: value for name, value in settings.items() if _LATER.get(name) != value},
            "data": self.dataset.fingerprint,
            "probe": self.probe,
            "cutoffs": self.cutoffs,
            **({} if self.item_groups is None else {"item_groups": self.item_groups}),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def find_result(cell: Cell, folder: Path) -> Result | None:
    """The stored result of a cell; None if it has not been computed.

    Raises:
        InputError: the result cannot be read.
    """
    path = folder / cell.key / _FILE
    if not path.exists():
        return None
    try:
        return Result.model_validate_json(read_text(path))
    except (OSError, ValueError) as error:
        raise InputError(path, str(error), f"a finished cell; delete {path.parent} to compute it again") from error


@contextmanager
def claimed(cell: Cell, folder: Path) -> Iterator[None]:
    """Hold the lock of a cell inside the block.

    Raises:
        BusyError: another process computes the cell.
        InputError: the folder cannot be written.
    """
    unfinished = _unfinished(cell, folder)
    with locked(unfinished):
        yield
    with suppress(OSError):  # not empty, if the training is to be continued
        unfinished.rmdir()


def store(cell: Cell, folder: Path, files: Mapping[str, bytes]) -> Result:
    """Store the files of a cell that another machine has computed.

    Raises:
        InputError: a file cannot be written.
    """
    with new_folder(folder / cell.key) as temporary:
        for name, content in files.items():
            (temporary / name).write_bytes(content)
    result = find_result(cell, folder)
    assert result is not None
    return result


def is_running(cell: Cell, folder: Path) -> bool:
    """Whether another process computes a cell now."""
    unfinished = _unfinished(cell, folder)
    if not unfinished.exists():
        return False
    try:
        with claimed(cell, folder):
            return False
    except BusyError:
        return True


def _unfinished(cell: Cell, folder: Path) -> Path:
    """The folder of the lock and the checkpoint of a cell."""
    return folder / f"{cell.key}{_UNFINISHED}"


def read_users(key: str, folder: Path) -> dict[str, Values]:
    """The metrics of each evaluated user by name `[n]`, and their numbers as "users".

    Raises:
        InputError: the file cannot be read.
    """
    path = folder / key / _USERS
    try:
        return {name: values.astype(np.float64) for name, values in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise InputError(path, str(error), f"a finished cell; delete {path.parent} to compute it again") from error


def compute(cell: Cell, folder: Path, callbacks: Sequence[Callback] = ()) -> Result:
    """Train a cell, or continue its interrupted training, measure it once on the test split, and store the result.

    Args:
        cell: what to train.
        folder: where the cells are.
        callbacks: of the training.

    Raises:
        BusyError: another process computes the cell.
        InputError: the model refuses the data or the config, or a file cannot be written.
    """
    unfinished = _unfinished(cell, folder)
    with claimed(cell, folder), memory_errors(cell.model):
        # Another process may have finished it before this one got the lock.
        result = find_result(cell, folder) or _compute(cell, folder, unfinished, callbacks)
        _clear(unfinished)
    return result


def remove_rest(cell: Cell, folder: Path) -> None:
    """Remove the checkpoint of a finished cell, which a process leaves that is killed when it has stored the result."""
    unfinished = _unfinished(cell, folder)
    if unfinished.exists():
        with suppress(InputError), claimed(cell, folder):  # another process removes it, or it cannot be written
            _clear(unfinished)


def _clear(unfinished: Path) -> None:
    """Remove everything but the lock; what cannot be removed stays."""
    with suppress(OSError):
        for path in unfinished.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != LOCK_NAME:
                path.unlink()


def _compute(cell: Cell, folder: Path, unfinished: Path, callbacks: Sequence[Callback]) -> Result:
    earlier = _seconds_so_far(unfinished)
    start = time.perf_counter()
    reset_peak()
    model = build_model(cell.model, cell.dataset, cell.config, cell.settings)
    probe = PROBES[cell.probe](model, cell.dataset, unfinished) if cell.probe else None
    validate = make_validation(cell.dataset, cell.settings, None)
    clock = _Clock(unfinished, earlier)
    trained = fit(
        model,
        cell.dataset.train,
        cell.settings,
        validate,
        checkpoints=CheckpointFolder(unfinished / "checkpoint", cell.key),
        callbacks=[clock, *callbacks, *([probe] if probe else [])],
    )
    train = cell.dataset.train
    evaluation = evaluate(
        trained.embeddings,
        cell.dataset.test,
        mask=[train],
        metrics=METRICS,
        cutoffs=cell.cutoffs,
        item_groups=None if cell.item_groups is None else ItemGroups.by_popularity(train, cell.item_groups),
    )
    seconds = earlier + time.perf_counter() - start
    picture, measured = probe.finish(trained) if probe else (None, {})
    result = _result(cell, model, trained, evaluation, seconds, measured, picture)
    with new_folder(folder / cell.key) as temporary:
        write_text(temporary / _FILE, result.model_dump_json(indent=1))
        users = {name: values.astype(np.float32) for name, values in evaluation.per_user.items()}
        with replacing(temporary / _USERS) as path:
            save_file({**users, "users": evaluation.users.astype(np.int64)}, path)
    return result


def _result(
    cell: Cell,
    model: Recommender,
    trained: Trained,
    evaluation: Evaluation,
    seconds: float,
    measured: Mapping[str, float],
    picture: object,
) -> Result:
    manifest = make_manifest(cell.model, cell.dataset, cell.config, cell.settings)
    history = trained.progress.history
    best = trained.progress.best_epoch or len(history)
    valid = next((record.valid for record in history if record.epoch == best and record.valid), {})
    return Result(
        key=cell.key,
        model=cell.model,
        config=manifest.config,
        settings=cell.settings,
        data=cell.dataset.name,
        fingerprint=manifest.fingerprint,
        modalities=tuple(manifest.modalities),
        versions=manifest.versions,
        machine=manifest.machine,
        best_epoch=best,
        epochs=len(history),
        ended_by=find_ending(history, cell.settings).reason,
        seconds=seconds,
        seconds_per_epoch=float(np.median([record.seconds for record in history] or [0.0])),
        peak_bytes=peak_bytes(),
        parameters=sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
        valid=dict(valid),
        test=evaluation.to_dict(),
        item_groups={label: each.to_dict() for label, each in evaluation.by_item_group.items() if each.num_users},
        measured=dict(measured),
        picture=picture,
        curve=curve_of(history, cell.settings.metric),
    )


class _Clock(Callback):
    """Stores the training time on the disk, so that interruptions do not count."""

    def __init__(self, folder: Path, earlier: float) -> None:
        self._path = folder / "seconds"
        self._earlier = earlier
        self._start = self._written = time.perf_counter()

    def on_epoch(self, _epoch: object) -> None:
        """Write the time about once a second."""
        now = time.perf_counter()
        if now - self._written >= 1:
            self._written = now
            write_text(self._path, repr(self._earlier + now - self._start))


def _seconds_so_far(folder: Path) -> float:
    path = folder / "seconds"
    try:
        return float(read_text(path)) if path.exists() else 0.0
    except (OSError, ValueError):
        return 0.0
