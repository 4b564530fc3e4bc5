"""A run: one model trained on one data set with one seed, and the folder of plain files that is left of it.

The folder answers questions without the data it came from: it holds the embeddings, the ids and the interactions.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from prismrec.errors import InputError
from prismrec.evaluation import Evaluation, UserGroups, evaluate, rank
from prismrec.files import replacing, write_text
from prismrec.training import EpochRecord, Settings, Trained
from prismrec.types import Embeddings, Interactions, Vocabulary

CUTOFFS = (5, 10, 20, 50)
METRICS = ("recall", "ndcg", "precision", "map", "mrr", "hit")


class Manifest(BaseModel):
    """What a run was: everything needed to make it again, as `config.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    config: dict[str, Any]
    settings: Settings
    data: str
    """Name of the data set."""
    fingerprint: str
    """SHA-256 of ids, pairs and features."""
    notes: tuple[str, ...]
    """What was counted and decided while reading the data."""
    modalities: dict[str, int]
    """Width of each modality."""
    versions: dict[str, str]


@dataclass(frozen=True)
class Run:
    """A finished run, in memory.

    Attributes:
        folder: where its files are, if it was saved.
        manifest: model, config, settings, data.
        embeddings: users `[U, d]`, items `[I, d]` of the best epoch.
        users: user ids.
        items: item ids.
        train: interactions learned from; `valid` and `test` were held out.
        catalog: row i describes item i, or None.
        history: one record per epoch.
    """

    folder: Path | None
    manifest: Manifest
    embeddings: Embeddings
    users: Vocabulary
    items: Vocabulary
    train: Interactions
    valid: Interactions
    test: Interactions
    catalog: pl.DataFrame | None
    history: tuple[EpochRecord, ...]

    @classmethod
    def load(cls, folder: Path | str) -> "Run":
        """Read a run directory.

        Raises:
            InputError: it is not one, or a file in it is missing or damaged.
        """
        folder = Path(folder)
        if not (folder / "metrics.json").exists():
            state = "an unfinished run: continue it with --resume" if (folder / "config.json").exists() else "no run"
            raise InputError(folder, state, "a run directory that `prismrec train` has finished")
        try:
            manifest = Manifest.model_validate_json((folder / "config.json").read_text(encoding="utf-8"))
            matrices = load_file(folder / "embeddings.safetensors")
            ids = {kind: pl.read_parquet(folder / f"{kind}.parquet") for kind in ("users", "items")}
            pairs = pl.read_parquet(folder / "interactions.parquet")
            lines = (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
            history = tuple(EpochRecord.model_validate_json(line) for line in lines)
        except (OSError, ValueError, SafetensorError, pl.exceptions.PolarsError) as error:
            raise InputError(folder, str(error), "the complete files of a finished run") from error
        users, items = (Vocabulary(ids[kind][kind[:-1]], kind[:-1]) for kind in ("users", "items"))
        parts = {split: pairs.filter(pl.col("split") == split) for split in ("train", "valid", "test")}
        splits = {
            split: Interactions.from_pairs(part["user"].to_numpy(), part["item"].to_numpy(), len(users), len(items))
            for split, part in parts.items()
        }
        catalog = ids["items"].drop("item")
        embeddings = Embeddings(matrices["users"], matrices["items"])
        return cls(
            folder=folder,
            manifest=manifest,
            embeddings=embeddings,
            users=users,
            items=items,
            train=splits["train"],
            valid=splits["valid"],
            test=splits["test"],
            catalog=catalog if catalog.width else None,
            history=history,
        )

    def evaluate(
        self,
        split: str = "test",
        *,
        cutoffs: Sequence[int] = CUTOFFS,
        mask_valid: bool = False,
        groups: UserGroups | None = None,
    ) -> Evaluation:
        """Full ranking against a held-out split: training items are left out, at test time validation items by choice.

        With `groups`, `by_group` of the result tells users of different activity apart.

        Raises:
            InputError: the split is neither "valid" nor "test", or it is empty.
        """
        if split not in ("valid", "test"):
            raise InputError("split", repr(split), "'valid' or 'test'")
        truth = self.valid if split == "valid" else self.test
        if not len(truth):
            raise InputError(f"split {split!r}", "no interactions", "a data set split with some held out")
        mask = [self.train, self.valid] if mask_valid and split == "test" else [self.train]
        return evaluate(self.embeddings, truth, mask=mask, metrics=METRICS, cutoffs=cutoffs, groups=groups)

    def recommend(self, user: str, k: int = 10) -> pl.DataFrame:
        """The best k items for one user, those already interacted with left out.

        Returns:
            rank (from 1), item, score and what the catalog knows of the item.

        Raises:
            InputError: the user is unknown.
        """
        return self.recommend_all([user], k).drop("user")

    def recommend_all(self, users: Sequence[str] | None = None, k: int = 10) -> pl.DataFrame:
        """As `recommend`, for many users (all where None): user, rank, item, score and catalog columns.

        Raises:
            InputError: a user is unknown, or k is not positive.
        """
        if k < 1:
            raise InputError("-k", str(k), "a number of items, 1 or more")
        numbers = np.arange(len(self.users)) if users is None else np.array([self.users.number(u) for u in users])
        found = rank(self.embeddings, numbers, k, mask=[self.train, self.valid, self.test])
        row, column = (found.items >= 0).nonzero(as_tuple=True)
        items = found.items[row, column].numpy()
        table = pl.DataFrame(
            {
                "user": self.users.ids_of(numbers[row.numpy()]),
                "rank": column.numpy() + 1,
                "item": self.items.ids_of(items),
                "score": found.scores[row, column].numpy(),
            }
        )
        if self.catalog is None:
            return table
        return table.hstack(self.catalog[items].drop(table.columns, strict=False))


def save(run: Run, trained: Trained, folder: Path) -> None:
    """Write the files of a finished run; `metrics.json` comes last and marks it finished."""
    with replacing(folder / "model.safetensors") as path:
        save_file(trained.weights, path)
    with replacing(folder / "embeddings.safetensors") as path:
        save_file({"users": run.embeddings.users, "items": run.embeddings.items}, path)
    items = pl.DataFrame({"item": run.items.ids})
    if run.catalog is not None:
        items = items.hstack(run.catalog.drop("item", strict=False))
    for name, table in (("users", pl.DataFrame({"user": run.users.ids})), ("items", items)):
        with replacing(folder / f"{name}.parquet") as path:
            table.write_parquet(path)
    with replacing(folder / "interactions.parquet") as path:
        pl.concat(
            pl.DataFrame({"user": part.users, "item": part.items, "split": [split] * len(part)})
            for split, part in (("train", run.train), ("valid", run.valid), ("test", run.test))
        ).write_parquet(path)
    write_text(folder / "history.jsonl", "".join(record.model_dump_json() + "\n" for record in run.history))
    progress = trained.progress
    metrics = {
        "best_epoch": progress.best_epoch or len(progress.history),
        "epochs": len(progress.history),
        "seconds_per_epoch": float(np.median([record.seconds for record in progress.history] or [0.0])),
        "valid": run.evaluate("valid").to_dict() if len(run.valid) else None,
        "test": run.evaluate("test").to_dict() if len(run.test) else None,
    }
    write_text(folder / "metrics.json", json.dumps(metrics, indent=2))
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
