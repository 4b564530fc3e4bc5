"""The index of a run: `prismrec index` builds it beside the run, and `Run` searches with it.

The folder `index` contains the lists of both searches, as faiss writes them, and `index.json`, which records the hash
of the embeddings. No file is pickled.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, computed_field
from torch import Tensor

from prismrec.errors import InputError, ParameterError
from prismrec.files import discard_folder, new_folder, write_text
from prismrec.retrieval.index import ItemIndex, import_faiss
from prismrec.retrieval.indexed_search import LEAST_ITEMS, tune
from prismrec.retrieval.similar import MODEL, SCORE, model_rows
from prismrec.runs.checksums import Checksum, check_file, checksum
from prismrec.runs.contents import RunContents
from prismrec.runs.lock import locked
from prismrec.runs.metrics_file import read_metrics
from prismrec.runs.reading import read_text
from prismrec.runs.staging import INDEX, current, tidy

RECALL = 0.97
"""The recall that an index is built for."""
_LARGEST_SHARE = 0.25
"""If a query reads more of the lists, exact search is the better choice.

It takes up to four times as long for one query, and is as fast for several at once.
"""
_RECORD = "index.json"
_EMBEDDINGS = "embeddings.safetensors"
_QUERIES = 1000
"""Users or items that choose the number of lists and measure the recall."""


class SearchRecord(BaseModel):
    """What `prismrec index` built and measured for one search."""

    model_config = ConfigDict(frozen=True)

    file: Checksum
    """Checksum of the file with the lists."""
    lists: int
    """The number of lists."""
    probes: int
    """The number of lists that a query reads."""
    recall: float
    """The share of the exact best items that it finds."""
    k: int
    """The number of best items."""
    queries: int
    """The number of users or items of the run with which the recall was measured."""
    milliseconds: float
    """Median time of a query alone."""
    exact_milliseconds: float
    """Median time of exact search."""
    seconds: float
    """Time to build."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def used(self) -> bool:
        """Whether searches use the index. They are exact if a query would read a large part of the lists."""
        return self.probes <= _LARGEST_SHARE * self.lists


class IndexRecord(BaseModel):
    """The content of `index.json`."""

    model_config = ConfigDict(frozen=True)

    embeddings: str
    """SHA-256 of the embeddings."""
    faiss: str
    """Version of faiss."""
    score: SearchRecord
    """Recommendations."""
    similar: SearchRecord
    """Similar items by the model."""


def build_index(run: RunContents, recall: float = RECALL) -> IndexRecord:
    """Build the index of a saved run, in place of an earlier one.

    Args:
        run: the run. Its users and items are the queries that choose the number of lists to read.
        recall: the share of the exact best 100 items that a search should find.

    Raises:
        InputError: the run is not saved or has no trained user, faiss is not installed, the recall is outside 0..1, or
            the folder cannot be written.
    """
    if not 0 < recall < 1:
        raise ParameterError("recall", str(recall), "a number between 0 and 1")
    if run.folder is None:
        raise InputError("run", "no folder", "a run that was saved")
    trained = np.flatnonzero(run.train.user_degrees)
    if not len(trained):
        raise InputError(run.folder, "no training interaction", "a trained run")
    version = import_faiss().__version__
    with locked(run.folder) as lock:
        tidy(lock.folder)
        digest = _embeddings_digest(lock.folder)
        discard_folder(lock.folder / INDEX)
        with new_folder(lock.folder / INDEX) as folder:
            items = run.embeddings.items
            unit = model_rows(run.embeddings)
            users = run.embeddings.users[_sample(trained)]
            everything = np.arange(len(items))
            record = IndexRecord(
                embeddings=digest,
                faiss=version,
                score=_build(folder / _file(SCORE), items, users, recall),
                similar=_build(folder / _file(MODEL), unit, unit[_sample(everything)], recall),
            )
            write_text(folder / _RECORD, record.model_dump_json(indent=2))
            lock.check()
    return record


def _build(path: Path, items: Tensor, queries: Tensor, recall: float) -> SearchRecord:
    start = time.perf_counter()
    index = ItemIndex.build(items)
    quality = tune(index, items, queries, recall)
    index.write(path)
    return SearchRecord(
        file=checksum(path),
        lists=index.count,
        probes=index.probes,
        recall=quality.recall,
        k=quality.k,
        queries=quality.queries,
        milliseconds=quality.milliseconds,
        exact_milliseconds=quality.exact_milliseconds,
        seconds=time.perf_counter() - start,
    )


def _sample(numbers: np.ndarray) -> Tensor:
    """Some of the numbers, evenly spaced."""
    places = np.linspace(0, len(numbers) - 1, min(_QUERIES, len(numbers))).astype(np.int64)
    return torch.from_numpy(numbers[places])


def read_record(folder: Path) -> IndexRecord | None:
    """The record of the index of a run; None if the run has none.

    Args:
        folder: the run directory.

    Raises:
        InputError: the record is damaged, or the index is of other embeddings.
    """
    part = current(folder)
    path = part / INDEX / _RECORD
    if not path.parent.exists():
        return None
    expected = f"the index of this run: `prismrec index {folder}` builds it, or remove the folder"
    try:
        record = IndexRecord.model_validate_json(read_text(path))
    except (InputError, ValueError) as error:
        raise InputError(path, "no record of an index", expected) from error
    if record.embeddings != _embeddings_digest(part):
        raise InputError(path.parent, "an index of other embeddings", expected)
    return record


def find_index(folder: Path, items: int) -> Callable[[str], ItemIndex | None]:
    """The function that reads the index of a search, or None if the run has none or exact search is better.

    Args:
        folder: the run directory.
        items: the number of items of the run.
    """

    def find(by: str) -> ItemIndex | None:
        record = read_record(folder)
        if record is None or items < LEAST_ITEMS:
            return None
        search = record.score if by == SCORE else record.similar
        if not search.used:
            return None
        path = current(folder) / INDEX / _file(by)
        check_file(path, search.file)
        try:
            return ItemIndex.read(path, search.probes)
        except ValueError as error:
            raise InputError(path, str(error), f"a file that `prismrec index {folder}` wrote") from error

    return find


def check_index(folder: Path) -> None:
    """Check every byte of the index of a run, if it has one.

    Raises:
        InputError: a file is missing or differs, or the index is of other embeddings.
    """
    record = read_record(folder)
    if record is None:
        return
    for by, search in ((SCORE, record.score), (MODEL, record.similar)):
        check_file(current(folder) / INDEX / _file(by), search.file, whole=True)


def _file(by: str) -> str:
    return "score.faiss" if by == SCORE else "similar.faiss"


def _embeddings_digest(folder: Path) -> str:
    """The SHA-256 of the embeddings, from the metrics of the run if they list it."""
    listed = read_metrics(folder).get("files", {})
    if _EMBEDDINGS in listed:
        return Checksum.model_validate(listed[_EMBEDDINGS]).sha256
    return checksum(folder / _EMBEDDINGS).sha256
