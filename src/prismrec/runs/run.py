"""A finished run: evaluation and recommendations from its embeddings, without the model."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import date
from functools import cached_property
from os import PathLike
from pathlib import Path

import numpy as np
import polars as pl

from prismrec.errors import InputError, ParameterError, check_choice, check_flag, check_list, check_type
from prismrec.evaluation import Evaluation, ItemGroups, UserGroups, evaluate
from prismrec.retrieval import MODEL, Catalog, Filters, Lists, Newcomers, Retriever, Unknown
from prismrec.runs.contents import RunContents
from prismrec.runs.folder import read_contents, read_weights, write_contents
from prismrec.runs.index import find_index
from prismrec.runs.lock import Lock, locked
from prismrec.runs.metrics_file import write_metrics
from prismrec.runs.newcomers import choose_newcomers
from prismrec.runs.owners import Histories, Ids, as_list, find_owners, is_one_id, owners_of
from prismrec.runs.staging import complete_run, publish
from prismrec.runs.tables import lists_table, notes_on, notes_on_ignored, reasons_table, users_table, warn_of
from prismrec.stopping import Ending, find_ending

CUTOFFS = (5, 10, 20, 50)
METRICS = ("recall", "ndcg", "precision", "map", "mrr", "hit")


class Run(RunContents):
    """One model trained on one data set with one seed: `RunContents` and the questions that they answer."""

    def __getstate__(self) -> dict[str, object]:
        """The contents, without what was computed from them."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def load(cls, folder: Path | str, *, exact: bool = False) -> "Run":
        """Read a run directory.

        Args:
            folder: the run directory.
            exact: whether to search all items even if the run has an index.

        Raises:
            InputError: the folder is not a finished run, or a file in it is missing, damaged or of another run.
        """
        check_type("folder", folder, (str, PathLike), "a path")
        check_flag("exact", exact)
        return cls(**{**vars(read_contents(Path(folder))), "exact": exact})

    def save(self, folder: Path | str, *, overwrite: bool = False) -> "Run":
        """Write the run to a folder, from which `Run.load` reads it.

        Args:
            folder: a new or empty folder.
            overwrite: whether to replace the run that `folder` holds. Readers get the old run until the new one is
                complete.

        Returns:
            The run in its folder.

        Raises:
            InputError: the folder holds something else, another process writes it, or a file cannot be written.
        """
        check_type("folder", folder, (str, PathLike), "a path")
        check_flag("overwrite", overwrite)
        if self.weights is None and self.folder is None:
            raise InputError("run", "neither weights nor a folder", "a run that was trained or loaded")
        run = replace(self, weights=read_weights(self.folder)) if self.weights is None and self.folder else self
        place = Path(folder)
        with locked(place) as lock, complete_run(place, self.manifest, overwrite=overwrite) as target:
            run.write(target, lock)
        return replace(run, folder=place, weights=None)

    def write(self, target: Path, lock: Lock) -> None:
        """Write the files of the run beside its `config.json`; `metrics.json` is the last and marks it as finished.

        Args:
            target: the run directory, or its subfolder `.next`, whose run is then published.
            lock: of the run directory.

        Raises:
            InputError: a file cannot be written.
        """
        write_contents(self, self.weights or {}, target)
        metrics = {
            "best_epoch": self.best_epoch,
            "epochs": len(self.history),
            "chosen": self.chosen,
            "ended_by": self.ending.reason,
            "rising": self.ending.rising,
            "seconds_per_epoch": float(np.median([record.seconds for record in self.history] or [0.0])),
            "valid": self.evaluate("valid").to_dict() if len(self.valid) else None,
            "test": self.evaluate("test").to_dict() if len(self.test) else None,
        }
        lock.check()
        write_metrics(metrics, target)
        publish(lock.folder)

    @cached_property
    def newcomers(self) -> Newcomers:
        """How the run embeds users and items that it was not trained on.

        If the run directory is of an earlier version and lacks it, it is fitted now, for users only.
        """
        return self.stored_newcomers or choose_newcomers(self.embeddings, self.train, self.valid, {})

    @property
    def ending(self) -> Ending:
        """Why the training ended, and whether the validation metric was still rising."""
        return find_ending(self.history, self.manifest.settings)

    def evaluate(
        self,
        split: str = "test",
        *,
        cutoffs: Sequence[int] = CUTOFFS,
        mask_valid: bool = False,
        groups: UserGroups | None = None,
        item_groups: ItemGroups | None = None,
    ) -> Evaluation:
        """Rank all items for every user of a held-out split and compute the metrics; training items are left out.

        Args:
            split: "valid" or "test".
            cutoffs: list lengths.
            mask_valid: leave validation items out of the lists of the test split too.
            groups: a partition of the users for `Evaluation.by_group`.
            item_groups: a partition of the items for `Evaluation.by_item_group`.

        Raises:
            InputError: the split is neither "valid" nor "test", or it is empty.
        """
        check_choice("split", split, ("valid", "test"))
        check_flag("mask_valid", mask_valid)
        truth = self.valid if split == "valid" else self.test
        if not len(truth):
            raise InputError(f"split {split!r}", "no interactions", "a split with held-out interactions")
        mask = [self.train, self.valid] if mask_valid and split == "test" else [self.train]
        return evaluate(
            self.embeddings, truth, mask=mask, metrics=METRICS, cutoffs=cutoffs, groups=groups, item_groups=item_groups
        )

    @cached_property
    def retriever(self) -> Retriever:
        """Answers the questions below in numbers; for servers and other programs that need no tables."""
        return Retriever(
            self.users,
            Catalog(self.items, self.catalog),
            self.embeddings,
            self.train,
            held_out=[self.valid, self.test],
            features=self.features,
            newcomers=lambda: self.newcomers,
            find_index=None if self.folder is None or self.exact else find_index(self.folder, len(self.items)),
        )

    def recommend(
        self,
        users: Ids | None = None,
        k: int = 10,
        *,
        histories: Histories | None = None,
        seen: bool = False,
        exclude: Iterable[Hashable] = (),
        candidates: Iterable[Hashable] | None = None,
        where: str | None = None,
        at_most: Mapping[str, int] | None = None,
        newest: tuple[str, date | str, int] | None = None,
        diversity: float = 0.0,
        unknown: Unknown | None = None,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """The best k items for users of the run, or for visitors with a history. docs/retrieval.md has examples.

        A warning names users with fewer than k items, and those with popular items because nothing is known of them.

        Args:
            users: a user id or several; None with histories means visitors, and without them all users.
            k: number of items; fewer are returned if fewer are left.
            histories: the item ids that a visitor clicked, or a list of these per visitor. With `users`, clicks that
                are not in the run, one list per user.
            seen: whether a list may hold items that its user has interacted with.
            exclude: ids of items to leave out.
            candidates: recommend only items with these ids; None for all items.
            where: a condition over the item table, an SQL expression of polars: "price < 20 and in_stock".
            at_most: the largest number of items with the same value in a column: {"brand": 2}.
            newest: column, date, count: at least `count` items are later than the date, if there are enough.
            diversity: from 0 (by score) to 1 (by variety): maximal marginal relevance over the item vectors.
            unknown: what to do with users and histories that the run knows nothing about. "popular": recommend the
                items with the most training interactions, whose number is the score; "refuse": raise an error. By
                default, users without a training interaction get popular items, and unknown users and histories
                without a known item are errors.
            columns: columns of the item table to add; None for all.

        Returns:
            Columns rank (from 1), item, score, and those of the item table. If there are several lists, the first
            column is `user` with ids, or `history` with positions.

        Raises:
            InputError: a user, an item or a column is unknown, a user or history is refused, or an argument cannot be
                used.
        """
        filters = Filters.of(exclude, candidates, where, at_most, newest, diversity)
        owners, audience, single = find_owners(self.retriever, users, histories, unknown)
        lists = self.retriever.recommend(audience, k, filters, seen=seen, unknown=unknown)
        return self._as_table(lists, owners, single, columns)

    def similar(
        self,
        items: Ids,
        k: int = 10,
        *,
        by: str = MODEL,
        exclude: Iterable[Hashable] = (),
        candidates: Iterable[Hashable] | None = None,
        where: str | None = None,
        at_most: Mapping[str, int] | None = None,
        newest: tuple[str, date | str, int] | None = None,
        diversity: float = 0.0,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """The k items that are most similar to an item, or to each of several; the score is the cosine.

        Args:
            items: an item id or several.
            k: number of items; fewer are returned if fewer are left.
            by: "model" for the item vectors of the model, or a modality for its features.
            exclude: as in `recommend`, like all other arguments.
            candidates: as in `recommend`.
            where: as in `recommend`.
            at_most: as in `recommend`.
            newest: as in `recommend`.
            diversity: as in `recommend`.
            columns: as in `recommend`.

        Returns:
            Columns rank, item, score, and those of the item table; first `similar_to` if there are several lists.

        Raises:
            InputError: an item is unknown or lacks the modality, or an argument cannot be used.
        """
        filters = Filters.of(exclude, candidates, where, at_most, newest, diversity)
        ids = as_list(items, self.items)
        lists = self.retriever.similar(ids, k, by, filters)
        return self._as_table(lists, owners_of(ids, self.items, "similar_to"), is_one_id(items, self.items), columns)

    def similar_users(self, users: Ids, k: int = 10) -> pl.DataFrame:
        """The k users that are most similar to a user, or to each of several, by the cosine of their vectors.

        Returns:
            Columns rank, user, score; first `similar_to` if there are several lists.

        Raises:
            InputError: a user is unknown or has no training interaction, or k is below 1.
        """
        ids = as_list(users, self.users)
        lists = self.retriever.similar_users(ids, k)
        owners = None if is_one_id(users, self.users) else owners_of(ids, self.users, "similar_to")
        return users_table(lists, owners, self.users)

    def score(self, users: Sequence[Hashable], items: Sequence[Hashable]) -> pl.DataFrame:
        """The scores of pairs of a user and an item: columns user, item, score.

        Raises:
            InputError: a user or an item is unknown, a user has no training interaction, or the lengths differ.
        """
        users, items = as_list(users, self.users), as_list(items, self.items)
        scores = self.retriever.score(users, items)
        owners = owners_of(users, self.users, "user")
        return pl.DataFrame([owners, owners_of(items, self.items, "item"), pl.Series("score", scores.numpy())])

    def explain(self, user: Hashable | None, items: Ids, *, history: Iterable[Hashable] | None = None) -> pl.DataFrame:
        """Which items of a history speak for recommended items, and by which modality they resemble them.

        Args:
            user: a user id; None for a visitor.
            items: ids of the recommended items.
            history: the items that a visitor clicked, or clicks of the user that are not in the run.

        Returns:
            One row for each recommended item and item of the history; `reasons_table` describes the columns.

        Raises:
            InputError: an id is unknown, or neither a user nor a history is given.
        """
        if user is None and history is None:
            raise ParameterError("user", "neither a user nor a history", "one of them")
        clicks = None if history is None else [check_list("history", history, "a list of item ids")]
        audience = self.retriever.audience(None if user is None else [user], clicks, "refuse")
        warn_of(notes_on_ignored(audience.ignored), 2)
        return reasons_table(self.retriever.explain(audience, as_list(items, self.items)), self.items)

    def _as_table(self, lists: Lists, owners: pl.Series, single: bool, columns: Sequence[str] | None) -> pl.DataFrame:
        """The table of lists of items, with warnings."""
        warn_of(notes_on(lists, owners, popular_by_design=self.manifest.model == "most-popular"), 3)
        return lists_table(lists, None if single else owners, self.retriever, columns)
