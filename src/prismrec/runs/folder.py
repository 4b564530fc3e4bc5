"""The run directory: plain files, readable without the data set and without the model."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from prismrec.errors import InputError
from prismrec.files import replacing, write_text
from prismrec.records import EpochRecord
from prismrec.retrieval import Newcomers
from prismrec.runs.checksums import Checksum, check_files, checksum
from prismrec.runs.contents import RunContents
from prismrec.runs.manifest import parse_manifest
from prismrec.runs.reading import read_json, read_table, read_tensors, read_text
from prismrec.types import Embeddings, Interactions, Vocabulary

_FILES = (
    "model.safetensors",
    "embeddings.safetensors",
    "users.parquet",
    "items.parquet",
    "interactions.parquet",
    "history.jsonl",
)
"""The files whose checksums are in `metrics.json`."""
_NEWCOMERS = "newcomers.safetensors"
_FEATURES = "features.safetensors"
_OPTIONAL_FILES = (_NEWCOMERS, _FEATURES)
"""Runs of earlier versions do not have these files, and runs without or with very large features lack the second."""
_READ_ERRORS = (OSError, ValueError, KeyError, SafetensorError, pl.exceptions.PolarsError)
"""What readers raise if a file is damaged; pydantic's errors are ValueErrors."""


def read_contents(folder: Path) -> RunContents:
    """Read a run directory.

    Raises:
        InputError: the folder is not a finished run, or a file in it is missing, damaged or of another run.
    """
    if not (folder / "metrics.json").exists():
        state = "an unfinished run: continue it with --resume" if (folder / "config.json").exists() else "no run"
        raise InputError(folder, state, "a run directory that `prismrec train` has finished")
    files = check_run(folder)
    try:
        manifest, warnings = parse_manifest(read_text(folder / "config.json"))
        lines = read_text(folder / "history.jsonl").splitlines()
        history = tuple([EpochRecord.model_validate_json(line) for line in lines])
        item_table = read_table(folder / "items.parquet")
        users = Vocabulary(read_table(folder / "users.parquet")["user"], "user")
        items = Vocabulary(item_table["item"], "item")
        pairs = _read_pairs(folder / "interactions.parquet")
        catalog = item_table.drop("item")
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
            stored_newcomers=_newcomers(folder / _NEWCOMERS),
            features=_features(folder / _FEATURES, items) if _FEATURES in files else {},
            warnings=warnings,
        )
    except InputError:
        raise
    except (*_READ_ERRORS, TypeError) as error:
        raise InputError(folder, str(error) or type(error).__name__, "the complete files of a finished run") from error


def check_run(folder: Path, *, whole: bool = False) -> set[str]:
    """Check that the files of a finished run are unchanged; their names.

    Args:
        folder: the run directory.
        whole: whether to read whole files, or only their sizes and ends.

    Raises:
        InputError: a file is missing or differs.
    """
    path = folder / "metrics.json"
    try:
        metrics = read_json(path)
        checksums = {str(name): Checksum.model_validate(each) for name, each in metrics.get("files", {}).items()}
    except (ValueError, AttributeError) as error:
        raise InputError(path, str(error), "the metrics of a finished run") from error
    check_files(folder, checksums, whole=whole)
    return set(checksums)


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
        with replacing(folder / _NEWCOMERS) as path:
            save_file(contents.stored_newcomers.tensors(), path)
    if contents.features:
        with replacing(folder / _FEATURES) as path:
            save_file(dict(contents.features), path)
    item_table = pl.DataFrame({"item": contents.items.ids})
    if contents.catalog is not None:
        item_table = item_table.hstack(contents.catalog.drop("item", strict=False))
    with replacing(folder / "users.parquet") as path:
        pl.DataFrame({"user": contents.users.ids}).write_parquet(path)
    with replacing(folder / "items.parquet") as path:
        item_table.write_parquet(path)
    splits = [_pairs(contents.train, "train"), _pairs(contents.valid, "valid"), _pairs(contents.test, "test")]
    with replacing(folder / "interactions.parquet") as path:
        pl.concat(splits).write_parquet(path)
    write_text(folder / "history.jsonl", "".join(record.model_dump_json() + "\n" for record in contents.history))


def write_metrics(metrics: Mapping[str, object], folder: Path) -> None:
    """Write `metrics.json`, which marks the run as finished, with the checksums of the other files.

    Raises:
        InputError: the file cannot be written.
    """
    names = [*_FILES, *[name for name in _OPTIONAL_FILES if (folder / name).exists()]]
    checksums = {name: checksum(folder / name).model_dump() for name in names}
    write_text(folder / "metrics.json", json.dumps({**metrics, "files": checksums}, indent=2))
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)


def _pairs(interactions: Interactions, split: str) -> pl.DataFrame:
    columns = {"user": interactions.users, "item": interactions.items}
    return pl.DataFrame(columns).with_columns(pl.lit(split).alias("split"))
