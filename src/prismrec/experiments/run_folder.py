"""What `train` does with its folder: begin a run, replace one, resume one, or extend a finished one."""

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prismrec.errors import InputError, ParameterError
from prismrec.experiments.arguments import check_modes
from prismrec.files import discard_folder, make_folder, place, read_text, write_text
from prismrec.records import EpochRecord, Settings
from prismrec.runs import Manifest, check_run, locked
from prismrec.runs.manifest import parse_manifest
from prismrec.runs.metrics_file import read_metrics
from prismrec.runs.staging import CHECKPOINT, NEXT, begin, is_finished, new_run_folder, tidy
from prismrec.stopping import find_ending
from prismrec.training import CheckpointFolder

_LENGTH = ("epochs", "patience")
"""Settings that say how long to train."""
_MAY_CHANGE = {*_LENGTH, "device"}
"""Settings that may differ when a run is resumed."""


@dataclass(frozen=True)
class RunFolder:
    """Where to train a run.

    Attributes:
        target: the folder to write: the run directory, or its subfolder `.next` if it holds a finished run.
        manifest: of the run.
        is_new: whether to begin a new run in `target`.
        extends: the finished run to continue, if `target` has no part of the new run yet.
    """

    target: Path
    manifest: Manifest
    is_new: bool = False
    extends: Path | None = None

    def begin(self) -> CheckpointFolder:
        """Write the manifest, and give the folder of checkpoints.

        Raises:
            InputError: a file cannot be written.
        """
        checkpoints = _checkpoints(self.target, self.manifest)
        if self.is_new:
            begin(self.target, self.manifest)
            return checkpoints
        if self.extends is not None:
            progress = _checkpoints(self.extends, self.manifest).progress()
            discard_folder(self.target)
            make_folder(self.target)
            make_folder(checkpoints.folder)
            place(self.extends / CHECKPOINT / "state.safetensors", checkpoints.folder / "state.safetensors")
            if progress is not None and progress.best_epoch:
                best = checkpoints.best_file(progress)
                kept = self.extends / CHECKPOINT / best.name
                place(kept if kept.exists() else self.extends / "model.safetensors", best)
        write_text(self.target / "config.json", self.manifest.model_dump_json(indent=2))
        return checkpoints

    def discard_without_epochs(self) -> None:
        """Remove what `begin` wrote for a new run without a whole epoch, so that a corrected command gets the folder.

        Raises:
            InputError: a file cannot be removed.
        """
        if not self.is_new or _checkpoints(self.target, self.manifest).progress() is not None:
            return
        if self.target.name == NEXT:
            discard_folder(self.target)
            return
        discard_folder(self.target / CHECKPOINT)
        (self.target / "config.json").unlink(missing_ok=True)


def check_out(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that `train` would refuse, before the data are read.

    Raises:
        InputError: the folder cannot be written, another process writes it, or it holds something else.
    """
    check_modes(resume=resume, overwrite=overwrite)
    with locked(folder):
        if not resume or not (folder / "config.json").exists():
            new_run_folder(folder, overwrite=overwrite, can_resume=True)


def find_new(folder: Path, manifest: Manifest, *, overwrite: bool) -> RunFolder:
    """Where to train a new run in a locked folder.

    Raises:
        InputError: the folder holds something else, or a run and `overwrite` is false.
    """
    return RunFolder(new_run_folder(folder, overwrite=overwrite, can_resume=True), manifest, is_new=True)


def find_resumed(folder: Path, manifest: Manifest) -> RunFolder | None:
    """Where to continue the run of a locked folder; None if the run is finished with these settings.

    A folder without a run is one in which a new run begins.

    Raises:
        InputError: the run has another model, config, data set or settings, or cannot be extended.
    """
    tidy(folder)
    if not (folder / "config.json").exists():
        return find_new(folder, manifest, overwrite=False)
    staged = folder / NEXT
    waits = (staged / "config.json").exists()
    if waits and _difference(_read(staged), _with_init(manifest, _read(staged))) is None:
        return RunFolder(staged, _continued(staged, manifest))
    earlier = _read(folder)
    manifest = _with_init(_with_length(manifest, earlier), earlier)
    difference = _difference(earlier, manifest)
    if difference is not None:
        field, before, now = difference
        raise InputError(folder / "config.json", f"{field} = {before}", f"{now} as given now, or another folder")
    if not is_finished(folder):
        return RunFolder(folder, _continued(folder, manifest))
    if _length(earlier.settings) == _length(manifest.settings) or not read_metrics(folder).get("epochs"):
        return None  # a model without weights has no epochs
    if waits:
        raise InputError(staged, "an unfinished run of other settings", "its settings, or overwrite")
    return RunFolder(staged, _extended(folder, manifest), extends=folder)


def saved_epochs(folder: Path) -> int:
    """The number of epochs in the checkpoint of the unfinished run of a folder."""
    staged = folder / NEXT
    part = staged if (staged / "config.json").exists() else folder
    progress = CheckpointFolder(part / CHECKPOINT).progress()
    return 0 if progress is None else len(progress.history)


def _checkpoints(folder: Path, manifest: Manifest) -> CheckpointFolder:
    """The checkpoints of a run, which name the run by what may not change when it is resumed."""
    parts = [manifest.model, manifest.config, _fixed(manifest.settings), manifest.fingerprint]
    if manifest.init is not None:
        parts.append(manifest.init.digest)
    identity = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return CheckpointFolder(folder / CHECKPOINT, identity)


def _read(folder: Path) -> Manifest:
    path = folder / "config.json"
    try:
        return parse_manifest(read_text(path))[0]
    except (OSError, ValueError) as error:
        raise InputError(path, "another format", "the config.json of an interrupted run") from error


def _fixed(settings: Settings) -> dict[str, Any]:
    return settings.model_dump(mode="json", exclude=_MAY_CHANGE)


def _length(settings: Settings) -> list[object]:
    return [getattr(settings, name) for name in _LENGTH]


def _with_length(manifest: Manifest, earlier: Manifest) -> Manifest:
    """The manifest with the epochs and the patience of the earlier one, unless they were given."""
    given = manifest.settings.model_fields_set
    kept = {name: getattr(earlier.settings, name) for name in _LENGTH if name not in given}
    return manifest.model_copy(update={"settings": manifest.settings.model_copy(update=kept)})


def _with_init(manifest: Manifest, earlier: Manifest) -> Manifest:
    """The manifest with the initial weights of the earlier one, unless they were given."""
    return manifest if manifest.init is not None else manifest.model_copy(update={"init": earlier.init})


def _difference(before: Manifest, now: Manifest) -> tuple[str, object, object] | None:
    """The first thing in which a run differs from the one to resume: its name and both values."""
    if before.model != now.model:
        return "model", before.model, now.model
    for field, old, new in (
        ("config", before.config, now.config),
        ("settings", _fixed(before.settings), _fixed(now.settings)),
    ):
        changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        if changed:
            return field, {name: old.get(name) for name in changed}, {name: new.get(name) for name in changed}
    if before.fingerprint != now.fingerprint:
        return "fingerprint", before.fingerprint, f"{now.fingerprint}, the data"
    if before.custom != now.custom:
        return "custom", before.custom, now.custom
    if now.init is not None and (before.init is None or before.init.digest != now.init.digest):
        return "init", before.init and before.init.describe(), now.init.describe()
    return None


def _continued(folder: Path, manifest: Manifest) -> Manifest:
    """The manifest of a run that goes on in its folder.

    Raises:
        InputError: it has trained for longer than these settings allow.
    """
    earlier = _read(folder)
    manifest = _with_init(_with_length(manifest, earlier), earlier)
    progress = _checkpoints(folder, manifest).progress()
    epochs = 0 if progress is None else len(progress.history)
    if progress is not None:
        _check_length(manifest.settings, progress.history)
    changes = _changes(earlier, manifest)
    if not epochs or not changes:
        return manifest.model_copy(update={"resumed": earlier.resumed})
    note = f"from epoch {epochs + 1}: {changes}"
    warnings.warn(f"the run is resumed {note}; the numbers may differ from an uninterrupted run", stacklevel=4)
    return manifest.model_copy(update={"resumed": (*earlier.resumed, note)})


def _check_length(settings: Settings, history: Sequence[EpochRecord]) -> None:
    """Refuse epochs and a patience with which the training would have stopped before its last epoch.

    Raises:
        InputError: it would have stopped.
    """
    done = len(history)
    if settings.epochs < done:
        raise ParameterError("epochs", str(settings.epochs), f"{done} or more: the run has {done} epochs")
    for epochs in range(1, done):
        if find_ending(history[:epochs], settings).reason == "no_improvement":
            found = f"{settings.patience}, which stops after epoch {epochs}"
            raise ParameterError("patience", found, f"a patience that reaches epoch {done}, the last epoch of the run")


def _extended(folder: Path, manifest: Manifest) -> Manifest:
    """The manifest of a finished run that goes on.

    Raises:
        InputError: the run has no checkpoint or is damaged, or see `_continued`.
    """
    if not (folder / CHECKPOINT / "state.safetensors").exists():
        expected = "checkpoint/state.safetensors; without it, the run cannot be extended"
        raise InputError(folder, "no checkpoint", expected)
    check_run(folder, whole=True)
    return _continued(folder, manifest)


def _changes(before: Manifest, now: Manifest) -> str:
    """Versions and properties of the machine that differ, as "torch 2.9 instead of 2.8"."""
    found = []
    for old, new in ((before.versions, now.versions), (before.machine, now.machine)):
        changed = [name for name in old if name in new and old[name] != new[name]]
        found += [f"{name} {new[name]} instead of {old[name]}" for name in changed]
    return ", ".join(found)
