"""Answers of retrieval as JSON."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from pydantic_core import to_json

from prismrec.errors import InputError
from prismrec.retrieval import Lists, Reasons, Retriever
from prismrec.runs.tables import reasons_table
from prismrec.serving.bodies import Row
from prismrec.types import Vocabulary

_REASON_COLUMNS = ("item", "clicked", "contribution", "share", "alike")
_COSINE = "_cosine"


def json_bytes(answer: object) -> bytes:
    """The answer as JSON; NaN and infinities become null, and binary values become base64."""
    return to_json(answer, inf_nan_mode="null", bytes_mode="base64", fallback=str)


def ranked_lists(lists: Lists, retriever: Retriever, columns: Sequence[str]) -> list[Row]:
    """Lists of items, as `RankedList` describes them.

    Raises:
        InputError: a column is unknown.
    """
    described = retriever.catalog.columns(columns) if columns else None
    numbers = lists.items.numpy()  # [n, w]
    listed = numbers[numbers >= 0]
    ids = retriever.catalog.items.identifiers(listed.tolist())
    scores = lists.scores.numpy()[numbers >= 0].tolist()
    entries: list[Row] = [{"item": item, "score": score} for item, score in zip(ids, scores, strict=True)]
    if described is not None:
        for entry, fields in zip(entries, described[listed].to_dicts(), strict=True):
            entry["fields"] = fields
    answers = []
    start = 0
    for length, popular in zip(lists.lengths.tolist(), lists.popular.tolist(), strict=True):
        part = entries[start : start + length]
        answers.append({"items": part, "popular": popular, "shorter": length < lists.k})
        start += length
    return answers


def reasons(found: Reasons, items: Vocabulary, k: int | None) -> list[Row]:
    """Reasons, as `Reason` describes them: the k largest contributions to each item, or all."""
    length = len(found.history)
    table = reasons_table(found, items)  # a block of `length` rows for each item
    if k is not None:
        table = table[np.flatnonzero(np.arange(len(table)) % length < k)]
    modalities = list(found.cosines)
    rows = []
    for row in table.iter_rows(named=True):
        reason = {name: row[name] for name in _REASON_COLUMNS}
        reason["cosines"] = {modality: row[modality + _COSINE] for modality in modalities}
        rows.append(reason)
    return rows


def item_rows(table: pl.DataFrame, ids: Vocabulary, numbers: Sequence[int]) -> list[Row]:
    """Items with some columns of the item table."""
    rows = np.asarray(numbers, dtype=np.int64)
    names = ids.ids_of(rows).to_list()
    fields = table[rows].to_dicts() if table.width else [{} for _ in names]
    return [{"item": name, "fields": row} for name, row in zip(names, fields, strict=True)]


def unknown(kind: str, identifier: str) -> InputError:
    """The error for an id that the run does not have."""
    return InputError(kind, repr(identifier), f"an id of the {kind}s of the run")
