"""A finished run: evaluation and recommendations from its embeddings, without the model."""

from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import torch
from torch import Tensor

from prismrec.errors import InputError, ParameterError
from prismrec.evaluation import Evaluation, UserGroups, evaluate
from prismrec.retrieval import Newcomers, rank
from prismrec.runs.contents import RunContents
from prismrec.runs.folder import read_contents, write_contents, write_metrics
from prismrec.runs.newcomers import choose_newcomers
from prismrec.types import Embeddings

ColdUsers = Literal["popular", "refuse"]

CUTOFFS = (5, 10, 20, 50)
METRICS = ("recall", "ndcg", "precision", "map", "mrr", "hit")


class Run(RunContents):
    """One model trained on one data set with one seed: `RunContents` and the questions that they answer."""

    @classmethod
    def load(cls, folder: Path | str) -> "Run":
        """Read a run directory.

        Raises:
            InputError: the folder is not a finished run, or a file in it is missing, damaged or of another run.
        """
        contents = read_contents(Path(folder))
        return cls(**vars(contents))

    def save(self, weights: dict[str, Tensor], best_epoch: int, chosen: Mapping[str, float] | None = None) -> None:
        """Write the files of the run into its folder, which holds `config.json` already.

        `metrics.json` is the last file and marks the run as finished.

        Args:
            weights: of the model at the best epoch.
            best_epoch: its number, from 1; 0 if no epoch was validated.
            chosen: hyperparameters that the model chose itself.

        Raises:
            InputError: the run has no folder, or a file cannot be written.
        """
        if self.folder is None:
            raise InputError("run", "no folder", "a run that was trained with a folder")
        write_contents(self, weights, self.folder)
        metrics = {
            "best_epoch": best_epoch or len(self.history),
            "epochs": len(self.history),
            "chosen": dict(chosen or {}),
            "seconds_per_epoch": float(np.median([record.seconds for record in self.history] or [0.0])),
            "valid": self.evaluate("valid").to_dict() if len(self.valid) else None,
            "test": self.evaluate("test").to_dict() if len(self.test) else None,
        }
        write_metrics(metrics, self.folder)

    @cached_property
    def newcomers(self) -> Newcomers:
        """How the run embeds users and items that it was not trained on.

        A run directory of an earlier version does not say it. Then it is chosen now, for users alone.
        """
        return self.stored_newcomers or choose_newcomers(self.embeddings, self.train, self.valid, {})

    def evaluate(
        self,
        split: str = "test",
        *,
        cutoffs: Sequence[int] = CUTOFFS,
        mask_valid: bool = False,
        groups: UserGroups | None = None,
    ) -> Evaluation:
        """Rank all items for every user of a held-out split and compute the metrics; training items are left out.

        Args:
            split: "valid" or "test".
            cutoffs: list lengths.
            mask_valid: leave validation items out of the lists of the test split too.
            groups: a partition of the users for `Evaluation.by_group`.

        Raises:
            InputError: the split is neither "valid" nor "test", or it is empty.
        """
        if split not in ("valid", "test"):
            raise ParameterError("split", repr(split), "'valid' or 'test'")
        truth = self.valid if split == "valid" else self.test
        if not len(truth):
            raise InputError(f"split {split!r}", "no interactions", "a data set split with some held out")
        mask = [self.train, self.valid] if mask_valid and split == "test" else [self.train]
        return evaluate(self.embeddings, truth, mask=mask, metrics=METRICS, cutoffs=cutoffs, groups=groups)

    def recommend(self, user: Hashable, k: int = 10, *, cold_users: ColdUsers = "popular") -> pl.DataFrame:
        """The best k items for one user, without the items that the user has interacted with.

        Args:
            user: a user id.
            k: number of items; fewer are returned if fewer are left.
            cold_users: how to treat a user without a training interaction. `popular`: recommend the items with the most
                training interactions, whose number is the score; `refuse`: raise an error.

        Returns:
            Columns rank (from 1), item, score, and those of the catalog.

        Raises:
            InputError: the user is unknown, k is below 1, or the user is refused.
        """
        return self.recommend_all([user], k, cold_users=cold_users).drop("user")

    def recommend_all(
        self, users: Sequence[Hashable] | None = None, k: int = 10, *, cold_users: ColdUsers = "popular"
    ) -> pl.DataFrame:
        """`recommend` for many users, or for all if `users` is None; one table, whose first column is the user.

        Raises:
            InputError: a user is unknown, k is below 1, or a user is refused.
        """
        if users is None:
            numbers = np.arange(len(self.users))
        else:
            numbers = np.array([self.users.number(user) for user in users], dtype=np.int64)
        is_cold = self.train.user_degrees[numbers] == 0  # [n]
        if cold_users == "refuse" and is_cold.any():
            cold = self.users.id(numbers[is_cold][0])
            raise InputError(f"user {cold!r}", "no training interaction", "a user of the training data")
        length = min(k, len(self.items))
        seen = [self.train, self.valid, self.test]
        found = rank(self.embeddings, numbers, length, mask=seen)
        if is_cold.any():
            popular = rank(self._popularity(), numbers[is_cold], length, mask=seen)
            found.items[is_cold] = popular.items
            found.scores[is_cold] = popular.scores
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

    def cold_users(self, users: Sequence[Hashable] | None = None) -> list[Hashable]:
        """The users without a training interaction, among the given ones or among all.

        Raises:
            InputError: a user is unknown.
        """
        if users is None:
            return self.users.ids_of(np.flatnonzero(self.train.user_degrees == 0)).to_list()
        return [user for user in users if not self.train.user_degrees[self.users.number(user)]]

    def _popularity(self) -> Embeddings:
        """Embeddings whose score is the number of training interactions of an item."""
        degrees = torch.from_numpy(self.train.item_degrees).float()
        return Embeddings(torch.ones(len(self.users), 1), degrees.unsqueeze(1))
