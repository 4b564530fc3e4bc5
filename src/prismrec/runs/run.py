"""A finished run: evaluation and recommendations from its embeddings, without the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import torch

from prismrec.errors import InputError, ParameterError
from prismrec.evaluation import Evaluation, UserGroups, evaluate
from prismrec.records import EpochRecord
from prismrec.retrieval import rank
from prismrec.runs.manifest import Manifest
from prismrec.types import Embeddings, Interactions, Vocabulary

ColdUsers = Literal["popular", "refuse"]

CUTOFFS = (5, 10, 20, 50)
METRICS = ("recall", "ndcg", "precision", "map", "mrr", "hit")


@dataclass(frozen=True)
class Run:
    """One model trained on one data set with one seed.

    Attributes:
        folder: the run directory, if the run was saved.
        manifest: model, config, settings, data.
        embeddings: users `[U, d]` and items `[I, d]` of the best epoch.
        users: user ids.
        items: item ids.
        train: the training interactions.
        valid: the validation interactions.
        test: the test interactions.
        catalog: row i describes item i; None if the data set has no item table.
        history: one record per epoch.
        warnings: notes on fields that another version wrote and this version ignores.
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
    warnings: tuple[str, ...] = ()

    @classmethod
    def load(cls, folder: Path | str) -> "Run":
        """Read a run directory.

        Raises:
            InputError: the folder is not a finished run, or a file in it is missing or damaged.
        """
        from prismrec.runs.folder import load_run  # the module imports Run

        return load_run(Path(folder))

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

    def recommend(self, user: str, k: int = 10, *, cold_users: ColdUsers = "popular") -> pl.DataFrame:
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
        self, users: Sequence[str] | None = None, k: int = 10, *, cold_users: ColdUsers = "popular"
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

    def cold_users(self, users: Sequence[str] | None = None) -> list[str]:
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
