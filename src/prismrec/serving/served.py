"""A run that is ready to answer: loaded, checked, and with what the page needs."""

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import polars as pl

from prismrec.errors import InputError
from prismrec.retrieval import Retriever
from prismrec.runs import Run, check_run
from prismrec.runs.checksums import checksum
from prismrec.runs.staging import current
from prismrec.serving.batches import Answerer
from prismrec.serving.insight import Insight
from prismrec.serving.pictures import PictureFolder
from prismrec.serving.settings import ServerSettings
from prismrec.serving.titles import ItemTexts, UserNames

_TESTED = 3
"""Users and items of the self-test."""
_ITEM_VECTORS = "embeddings.safetensors"


class ServedRun:
    """A run, and what answers from it. An answer uses one object of this class from beginning to end.

    Attributes:
        run: the run.
        pictures: the folder with the pictures of the items; None if it is not known or no longer exists.
        name: folder of the run and the beginning of the hash of its embeddings, for headers and logs.
        retriever: answers questions.
        answerer: calls the retriever for many requests.
        texts: what people read about items.
        users: finds users.
    """

    def __init__(self, run: Run, settings: ServerSettings, metrics: Mapping[str, Any]) -> None:
        if run.folder is None:
            raise InputError("run", "no folder", "a saved run")
        self.run = run
        self._metrics = metrics
        folder = settings.picture_folder(run.manifest.folder)
        self.pictures = None if folder is None else PictureFolder(folder)
        digest = checksum(current(run.folder) / _ITEM_VECTORS).sha256[:8]
        self.name = f"{quote(run.folder.resolve().name)}@{digest}"
        self.retriever: Retriever = run.retriever
        self.answerer = Answerer(self.retriever, settings.limits.waiting)
        self.texts = ItemTexts(run.items, run.catalog if run.catalog is not None else pl.DataFrame(), run.train)
        self.users = UserNames(run.users, run.train)

    @cached_property
    def insight(self) -> Insight:
        """Metrics, training curve and popularity, for the page."""
        return Insight.of(self.run, self._metrics)


def load_served(folder: Path, settings: ServerSettings, before: ServedRun | None = None) -> ServedRun:
    """Load a run, check its files whole, and test it.

    Args:
        folder: the run directory or a link to it.
        settings: how to serve it.
        before: the run that it replaces.

    Raises:
        InputError: the run is incomplete or damaged, fails a test, or has no item of the run before.
    """
    folder = Path(os.path.realpath(folder))  # Path.resolve raises for a link to itself
    run = Run.load(folder)
    metrics = check_run(folder, whole=True)
    _check_continuity(run, before)
    served = ServedRun(run, settings, metrics)
    self_test(served.retriever, run)
    return served


def _check_continuity(run: Run, before: ServedRun | None) -> None:
    """Refuse a run that has no item of the run before: it belongs to another shop."""
    if before is not None and not run.items.ids.is_in(before.run.items.ids.implode()).any():
        found = f"{len(run.items):,} items, none of which the run before had"
        raise InputError(run.folder or "run", found, "a run of the same items")


def self_test(retriever: Retriever, run: Run) -> None:
    """Ask for recommendations of users and of a visitor, and for similar items.

    Raises:
        InputError: an answer is empty or not finite.
    """
    folder = run.folder or "run"
    users = np.flatnonzero(run.train.user_degrees)[:_TESTED]
    items = np.flatnonzero(run.train.item_degrees)[:_TESTED]
    if not len(users):
        raise InputError(folder, "no training interaction", "a trained run")
    item_ids = run.items.ids_of(items).to_list()
    answers = [
        retriever.recommend(retriever.audience(run.users.ids_of(users).to_list()), 1, seen=True),
        retriever.recommend(retriever.audience(histories=[item_ids]), 1, seen=True),
        retriever.similar(item_ids, 1),
    ]
    for lists in answers:
        if len(run.items) > 1 and not (lists.lengths.all() and lists.scores.isfinite().all()):
            raise InputError(folder, "empty or infinite answers in the self-test", "a run that can be served")
