"""`metrics.json`: written last, it marks a run as finished and holds the checksums of the other files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prismrec.errors import InputError
from prismrec.files import write_text
from prismrec.runs.checksums import Checksum, check_file, checksum
from prismrec.runs.reading import read_json
from prismrec.runs.staging import CHECKPOINT, METRICS_FILE, current, keep_final_state

NEWCOMERS = "newcomers.safetensors"
FEATURES = "features.safetensors"
ENCODERS = "encoders.safetensors"
FILES = (
    "config.json",
    "model.safetensors",
    "embeddings.safetensors",
    "users.parquet",
    "items.parquet",
    "interactions.parquet",
    "history.jsonl",
)
"""The files that every run has."""
OPTIONAL_FILES = (NEWCOMERS, FEATURES, ENCODERS)
"""Runs of earlier versions do not have these files. Runs without or with very large features lack the second, and runs
without encoders that are fitted on items lack the third."""
STATE = f"{CHECKPOINT}/state.safetensors"
"""The state at the end of the last epoch. It is not needed to use the run and may be deleted."""
_EXPECTED = "the metrics of a finished run"


def read_metrics(folder: Path) -> dict[str, Any]:
    """The content of `metrics.json`.

    Raises:
        InputError: it cannot be read.
    """
    try:
        metrics = read_json(folder / METRICS_FILE)
    except InputError as error:
        raise InputError(folder / METRICS_FILE, error.found, _EXPECTED) from error
    if not isinstance(metrics, dict):
        raise InputError(folder / METRICS_FILE, type(metrics).__name__, _EXPECTED)
    return metrics


def write_metrics(metrics: Mapping[str, object], folder: Path) -> None:
    """Write `metrics.json`, which marks the run as finished, with the checksums of the other files.

    Raises:
        InputError: the file cannot be written.
    """
    names = [*FILES, *[name for name in OPTIONAL_FILES if (folder / name).exists()]]
    sums: dict[str, object] = {"files": {name: checksum(folder / name).model_dump() for name in names}}
    if (folder / STATE).exists():
        sums["checkpoint"] = checksum(folder / STATE).model_dump()
    write_text(folder / METRICS_FILE, json.dumps({**metrics, **sums}, indent=2))
    keep_final_state(folder)


def checksums(folder: Path, metrics: Mapping[str, Any], *, whole: bool) -> dict[str, Checksum]:
    """The checksums in the metrics of a run, by file name; see `check_run`.

    Raises:
        InputError: they cannot be read.
    """
    listed = metrics.get("files", {})
    if not isinstance(listed, dict):
        raise InputError(folder / METRICS_FILE, f"files = {listed!r}", _EXPECTED)
    named = dict(listed)
    if not whole:
        named.pop("config.json", None)
    elif (folder / STATE).exists() and "checkpoint" in metrics:
        named[STATE] = metrics["checkpoint"]
    try:
        return {str(name): Checksum.model_validate(each) for name, each in named.items()}
    except ValueError as error:
        raise InputError(folder / METRICS_FILE, str(error), _EXPECTED) from error


def notes_on_config(folder: Path, metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """A note if `config.json` is not the file that the run wrote. Recommending does not need it, so it may differ.

    Raises:
        InputError: the checksum or the file cannot be read.
    """
    listed = checksums(folder, metrics, whole=True).get("config.json")
    if listed is None:  # a run of an earlier version
        return ()
    path = folder / "config.json"
    try:
        check_file(path, listed)
    except InputError as error:
        return (f"{path}: {error.found} than the run wrote; its model, settings and data may be those of another run",)
    return ()


def check_run(folder: Path, *, whole: bool = False) -> dict[str, Any]:
    """Check that the files of a finished run are unchanged, and return its metrics.

    Args:
        folder: the run directory.
        whole: whether to read whole files, or only their sizes and ends. `config.json` and the checkpoint, which
            recommending does not need, are checked only with `whole`.

    Raises:
        InputError: a file is missing or differs.
    """
    part = current(folder)
    metrics = read_metrics(part)
    for name, expected in checksums(part, metrics, whole=whole).items():
        check_file(part / name, expected, whole=whole)
    return metrics
