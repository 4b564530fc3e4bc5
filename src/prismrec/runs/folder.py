"""The run directory: plain files, readable without the data set and without the model."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from prismrec.errors import InputError
from prismrec.files import replacing, write_text
from prismrec.provenance import State
from prismrec.records import EpochRecord
from prismrec.retrieval import Newcomers
from prismrec.runs.contents import RunContents
from prismrec.runs.manifest import parse_manifest
from prismrec.runs.metrics_file import ENCODERS, FEATURES, FILES, NEWCOMERS, OPTIONAL_FILES, check_run, notes_on_config
from prismrec.runs.reading import read_table, read_tensors, read_text
from prismrec.runs.staging import METRICS_FILE, current, is_finished
from prismrec.types import Embeddings, Interactions, Vocabulary

_ATTEMPTS = 10
"""How often to read a run that another process replaces meanwhile."""
_READ_ERRORS = (OSError, ValueError, KeyError, SafetensorError, pl.exceptions.PolarsError)
"""What readers raise if a file is damaged; pydantic's errors are ValueErrors."""


def read_contents(folder: Path) -> RunContents:
    """Read a run directory. If another process replaces the run meanwhile, read the new one.

    Raises:
        InputError: the folder is not a finished run, or a file in it is missing, damaged or of another run.
    """
    for _ in range(_ATTEMPTS):
        before = _identities(folder)
        try:
            contents = replace(_read(current(folder)), folder=folder)
        except InputError:
            if _identities(folder) == before:
                raise
        else:
            if _identities(folder) == before:
                return contents
    raise InputError(folder, "a run that other processes keep replacing", "a run directory that stays unchanged")


def _identities(folder: Path) -> list[tuple[str, int, int, int]]:
    """What tells the files of a run from those of a run that replaced it."""
    part = current(folder)
    found = []
    for name in (METRICS_FILE, *FILES, *OPTIONAL_FILES):
        with suppress(OSError, ValueError):  # a path with a NUL character is a ValueError
            status = (part / name).stat()
            found.append((str(part / name), status.st_ino, status.st_size, status.st_mtime_ns))
    return found


def _read(folder: Path) -> RunContents:
    if not is_finished(folder):
        state = "an unfinished run: continue it with --resume" if (folder / "config.json").exists() else "no run"
        raise InputError(folder, state, "a run directory that `prismrec train` has finished")
    metrics = check_run(folder)
    try:
        manifest, warnings = parse_manifest(read_text(folder / "config.json"))
        lines = read_text(folder / "history.jsonl").splitlines()
        history = tuple([EpochRecord.model_validate_json(line) for line in lines])
        _check_metric(folder, history, manifest.settings.metric)
        item_table = read_table(folder / "items.parquet")
        users = Vocabulary(read_table(folder / "users.parquet")["user"], "user")
        items = Vocabulary(item_table.to_series(), "item")
        pairs = _read_pairs(folder / "interactions.parquet")
        catalog = item_table[:, 1:]
        return RunContents(
            folder=folder,
            manifest=manifest,
            embeddings=_embeddings(read_tensors(folder / "embeddings.safetensors"), users, items),
            users=users,
            items=items,
            train=_interactions(pairs, "train", users, items),
            valid=_interactions(pairs, "valid", users, items),
            test=_interactions(pairs, "test", users, items),
            catalog=catalog if catalog.width else None,
            history=history,
            stored_newcomers=_newcomers(folder / NEWCOMERS),
            features=_features(folder / FEATURES, items) if FEATURES in metrics.get("files", {}) else {},
            states=_states(folder / ENCODERS) if ENCODERS in metrics.get("files", {}) else {},
            best_epoch=int(metrics["best_epoch"]),
            chosen=dict(metrics.get("chosen") or {}),
            warnings=(*warnings, *notes_on_config(folder, metrics)),
        )
    except InputError:
        raise
    except (*_READ_ERRORS, TypeError) as error:
        raise InputError(folder, str(error) or type(error).__name__, "the complete files of a finished run") from error


def _check_metric(folder: Path, history: Sequence[EpochRecord], metric: str) -> None:
    for record in history:
        if record.valid is not None and metric not in record.valid:
            found = f"no {metric:.40} in epoch {record.epoch}"
            raise InputError(folder / "history.jsonl", found, "the validation metric that config.json names")


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The weights of the model of a finished run.

    Raises:
        InputError: they cannot be read.
    """
    return read_tensors(current(folder) / "model.safetensors")


def _embeddings(matrices: dict[str, Tensor], users: Vocabulary, items: Vocabulary) -> Embeddings:
    user_rows, item_rows = matrices["users"], matrices["items"]
    if user_rows.ndim != 2 or item_rows.ndim != 2 or not user_rows.dtype == item_rows.dtype == torch.float32:
        raise ValueError("embeddings that are not float32 matrices")
    if len(user_rows) != len(users) or len(item_rows) != len(items) or user_rows.shape[1] != item_rows.shape[1]:
        shapes = f"{list(user_rows.shape)} and {list(item_rows.shape)}"
        raise ValueError(f"embeddings {shapes} of {len(users)} users and {len(items)} items")
    return Embeddings(user_rows, item_rows)


def _newcomers(path: Path) -> Newcomers | None:
    return Newcomers.from_tensors(read_tensors(path)) if path.exists() else None


def _read_pairs(path: Path) -> pl.DataFrame:
    """The columns user, item (numbers) and split of all interactions."""
    pairs = read_table(path)
    if not (pairs["user"].dtype.is_integer() and pairs["item"].dtype.is_integer()) or sum(pairs.null_count().row(0)):
        raise InputError(path, f"columns {dict(pairs.schema)}, perhaps with empty cells", "user and item numbers")
    unknown = pairs.filter(~pl.col("split").is_in(["train", "valid", "test"]))
    if len(unknown):
        raise InputError(path, f"split {unknown['split'][0]!r}", "train, valid or test")
    return pairs


def _features(path: Path, items: Vocabulary) -> dict[str, Tensor]:
    features = read_tensors(path)
    for modality, rows in features.items():
        if rows.ndim != 2 or len(rows) != len(items) or rows.dtype != torch.float16:
            raise ValueError(f"{modality} features {list(rows.shape)} of {rows.dtype} for {len(items)} items")
    return features


def _states(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Modality → arrays, from tensors that are named MODALITY/ARRAY."""
    states: dict[str, dict[str, np.ndarray]] = {}
    for name, tensor in read_tensors(path).items():
        modality, _, array = name.rpartition("/")
        states.setdefault(modality, {})[array] = tensor.numpy()
    return states


def _named_tensors(states: Mapping[str, State]) -> dict[str, Tensor]:
    """The arrays of all modalities as tensors that are named MODALITY/ARRAY."""
    tensors = {}
    for modality, state in states.items():
        for name, array in state.items():
            tensors[f"{modality}/{name}"] = torch.from_numpy(np.array(array))
    return tensors


def _interactions(pairs: pl.DataFrame, split: str, users: Vocabulary, items: Vocabulary) -> Interactions:
    part = pairs.filter(pl.col("split") == split)
    distinct = Interactions.from_pairs(part["user"].to_numpy(), part["item"].to_numpy(), len(users), len(items))
    if len(distinct) < len(part):
        raise ValueError(f"{len(part) - len(distinct)} interactions in {split} a second time")
    return distinct


def write_contents(contents: RunContents, weights: dict[str, Tensor], folder: Path) -> None:
    """Write all files of a run but `metrics.json` into a folder that holds `config.json` already.

    Args:
        contents: the run.
        weights: of the model at the best epoch.
        folder: the run directory.

    Raises:
        InputError: a file cannot be written.
    """
    with replacing(folder / "model.safetensors") as path:
        save_file(weights, path)
    with replacing(folder / "embeddings.safetensors") as path:
        save_file({"users": contents.embeddings.users, "items": contents.embeddings.items}, path)
    if contents.stored_newcomers is not None:
        with replacing(folder / NEWCOMERS) as path:
            save_file(contents.stored_newcomers.tensors(), path)
    if contents.features:
        with replacing(folder / FEATURES) as path:
            save_file(dict(contents.features), path)
    if any(contents.states.values()):
        with replacing(folder / ENCODERS) as path:
            save_file(_named_tensors(contents.states), path)
    catalog = pl.DataFrame() if contents.catalog is None else contents.catalog
    ids_name = "item_id" if "item" in catalog.columns else "item"
    item_table = pl.DataFrame({ids_name: contents.items.ids}).hstack(catalog.get_columns())
    with replacing(folder / "users.parquet") as path:
        pl.DataFrame({"user": contents.users.ids}).write_parquet(path)
    with replacing(folder / "items.parquet") as path:
        item_table.write_parquet(path)
    splits = [_pairs(contents.train, "train"), _pairs(contents.valid, "valid"), _pairs(contents.test, "test")]
    with replacing(folder / "interactions.parquet") as path:
        pl.concat(splits).write_parquet(path)
    write_text(folder / "history.jsonl", "".join(record.model_dump_json() + "\n" for record in contents.history))


def _pairs(interactions: Interactions, split: str) -> pl.DataFrame:
    columns = {"user": interactions.users, "item": interactions.items}
    return pl.DataFrame(columns).with_columns(pl.lit(split).alias("split"))
