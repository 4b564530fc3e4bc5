"""A full check of a finished run: every byte, and whether its files belong together."""

import math
from collections.abc import Iterator
from pathlib import Path

import torch

from prismrec.errors import InputError
from prismrec.records import best_epoch
from prismrec.runs.checksums import check_file
from prismrec.runs.index import check_index
from prismrec.runs.metrics_file import checksums, read_metrics
from prismrec.runs.run import Run
from prismrec.runs.staging import current, is_finished

_TIES = 2
"""Number of users whose lists may differ, because scores round differently on another machine."""


def find_problems(folder: Path | str) -> list[InputError]:
    """What is wrong with a run; an empty list if nothing is.

    The check reads all files, compares them with their checksums and with each other, and computes the metrics again.
    """
    return list(_problems(Path(folder)))


def _problems(folder: Path) -> Iterator[InputError]:
    part = current(folder)
    damaged = list(_damaged_files(part)) if is_finished(part) else []
    yield from damaged
    try:
        run = Run.load(folder)
    except InputError as error:
        if not damaged:  # else it is one of the errors above
            yield error
        return
    yield from _wrong_numbers(run, part)
    try:
        check_index(folder)
    except InputError as error:
        yield error


def _damaged_files(folder: Path) -> Iterator[InputError]:
    try:
        listed = checksums(folder, read_metrics(folder), whole=True)
    except InputError as error:
        yield error
        return
    for name, expected in listed.items():
        try:
            check_file(folder / name, expected, whole=True)
        except InputError as error:
            yield error


def _wrong_numbers(run: Run, folder: Path) -> Iterator[InputError]:
    """Numbers of a run that contradict each other."""
    metrics = read_metrics(folder)
    path = folder / "metrics.json"
    history = run.history
    if [record.epoch for record in history] != list(range(1, len(history) + 1)):
        yield InputError(folder / "history.jsonl", "epochs out of order", f"epochs 1 to {len(history)}")
    if metrics.get("epochs") != len(history):
        yield InputError(path, f"epochs = {metrics.get('epochs')}", f"{len(history)}, as in history.jsonl")
    best = best_epoch(history, run.manifest.settings.metric)
    if run.best_epoch != best:
        yield InputError(path, f"best_epoch = {run.best_epoch}", f"{best}, as in history.jsonl")
    for name, matrix in (("users", run.embeddings.users), ("items", run.embeddings.items)):
        if not torch.isfinite(matrix).all():
            yield InputError(folder / "embeddings.safetensors", f"{name} with NaN or infinity", "finite numbers")
    for split in ("valid", "test"):
        yield from _wrong_metrics(run, split, metrics.get(split), path)


def _wrong_metrics(run: Run, split: str, stored: object, path: Path) -> Iterator[InputError]:
    truth = run.valid if split == "valid" else run.test
    if not len(truth) or not isinstance(stored, dict):
        if bool(len(truth)) != (stored is not None):
            yield InputError(path, f"{split} = {stored!r}", f"metrics of {len(truth)} interactions")
        return
    found = run.evaluate(split)
    tolerance = _TIES / found.num_users + 1e-6
    for name, value in found.to_dict().items():
        given = stored.get(name)
        if not isinstance(given, int | float) or not math.isclose(given, value, abs_tol=tolerance):
            yield InputError(path, f"{split} {name} = {stored.get(name)}", f"{value:.6f}, from the embeddings")
