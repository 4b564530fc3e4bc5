"""Answers as tables with ids, and what a reader of the tables should know."""

import warnings
from collections.abc import Hashable, Sequence

import numpy as np
import polars as pl
import torch

from prismrec.retrieval import Lists, Reasons, Retriever
from prismrec.retrieval.ranking import Int64Array
from prismrec.types import BoolArray, Vocabulary

_LIST_COLUMNS = ("user", "history", "similar_to", "rank", "item", "score")
"""Columns that tables of lists have, and that no column of the item table may replace."""
_SHOWN = 3
"""How many ids a note lists."""


def lists_table(
    lists: Lists, owners: pl.Series | None, retriever: Retriever, columns: Sequence[str] | None = None
) -> pl.DataFrame:
    """Lists of items: the owner of each list, rank (from 1), item, score, and columns of the item table.

    A column of the item table whose name tables of lists use gets the prefix `item_`: `score` becomes `item_score`.

    Args:
        lists: n lists.
        owners: whom each list is for `[n]`; its name is that of the column. None omits it.
        retriever: knows the ids and the item table.
        columns: columns of the item table to add; None for all.

    Raises:
        InputError: a column is unknown.
    """
    described = retriever.catalog.columns(columns)
    table = _ranked(lists, owners, "item", retriever.catalog.items)
    if not described.width:
        return table
    names = _names_beside_lists(retriever.catalog.columns(None).columns)
    return table.hstack(described[lists.items[lists.items >= 0].numpy()].rename(names, strict=False))


def _names_beside_lists(columns: Sequence[str]) -> dict[str, str]:
    """Other names for the columns of the item table whose names tables of lists use."""
    names = {}
    for column in columns:
        if column in _LIST_COLUMNS:
            name = f"item_{column}"
            while name in columns:
                name = f"item_{name}"
            names[column] = name
    return names


def users_table(lists: Lists, owners: pl.Series | None, users: Vocabulary) -> pl.DataFrame:
    """Lists of users: the owner of each list, rank (from 1), user, score."""
    return _ranked(lists, owners, "user", users)


def _ranked(lists: Lists, owners: pl.Series | None, kind: str, ids: Vocabulary) -> pl.DataFrame:
    row, column = (lists.items >= 0).nonzero(as_tuple=True)
    table = pl.DataFrame(
        {
            "rank": column.numpy() + 1,
            kind: ids.ids_of(lists.items[row, column].numpy()),
            "score": lists.scores[row, column].numpy(),
        }
    )
    return table if owners is None else table.insert_column(0, owners.gather(row.numpy()))


def reasons_table(reasons: Reasons, items: Vocabulary) -> pl.DataFrame:
    """One row for each recommended item and item of the history, the largest contribution first.

    Columns: item, score, clicked (the item of the history), contribution, share (of the score; null unless that is
    above 0), exact, alike (the modality by which the two items resemble each other most), and the cosine by modality.
    """
    t, h = reasons.contributions.shape
    scores = reasons.scores.unsqueeze(1).expand(t, h)
    shares = torch.where(scores > 0, reasons.contributions / scores, torch.nan)
    columns = {
        "item": items.ids_of(np.repeat(reasons.targets, h)),
        "score": scores.flatten().numpy(),
        "clicked": items.ids_of(np.tile(reasons.history, t)),
        "contribution": reasons.contributions.flatten().numpy(),
        "share": pl.Series(shares.flatten().numpy(), nan_to_null=True),
        "exact": pl.Series([reasons.exact] * (t * h), dtype=pl.Boolean),
        "alike": pl.Series(_most_alike(reasons), dtype=pl.String),
    }
    for modality, cosines in reasons.cosines.items():
        columns[f"{modality}_cosine"] = pl.Series(cosines.flatten().numpy(), nan_to_null=True)
    order = np.lexsort((-reasons.contributions.flatten().numpy(), np.repeat(np.arange(t), h)))
    return pl.DataFrame(columns)[order]


def _most_alike(reasons: Reasons) -> list[str | None]:
    """For each pair, the modality by which the fewest other items resemble the recommended item as much, `[t h]`."""
    names = list(reasons.closeness)
    if not names:
        return [None] * reasons.contributions.numel()
    closeness = torch.stack(list(reasons.closeness.values())).flatten(1)  # [M, t h]
    best = closeness.nan_to_num(-1.0).max(0)
    found = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [names[position] if value >= 0 else None for position, value in found]


def notes_on(lists: Lists, owners: pl.Series, *, popular_by_design: bool = False) -> tuple[str, ...]:
    """What a reader of lists should know: who got popular items, fewer items than asked for, or none.

    Args:
        lists: n lists.
        owners: whom they are for `[n]`; the name of the column says what the values are.
        popular_by_design: whether the model itself recommends popular items.
    """
    popular = lists.popular & (not popular_by_design)
    notes = notes_on_lengths(lists.lengths, lists.k, popular, owners)
    return (*notes_on_ignored(lists.ignored), *notes)


def notes_on_ignored(ids: Sequence[Hashable]) -> tuple[str, ...]:
    """A note that names the unknown ids of histories, if there are any."""
    if not ids:
        return ()
    shown = ", ".join([repr(each) for each in ids[:_SHOWN]])
    more = f" and {len(ids) - _SHOWN:,} more" if len(ids) > _SHOWN else ""
    return (f"ignored unknown item ids in the histories: {shown}{more}",)


def warn_of(notes: Sequence[str], level: int) -> None:
    """Warn of each note, `level` calls above the caller: 1 is the caller itself."""
    for note in notes:
        warnings.warn(note, stacklevel=level + 1)


def notes_on_lengths(lengths: Int64Array, k: int, popular: BoolArray, owners: pl.Series) -> tuple[str, ...]:
    """The notes of `notes_on` from the lengths of n lists, and which of them are popular items, `[n]`."""
    notes = []
    if popular.any():
        notes.append(f"{_some(owners, popular)} without a training interaction: the most popular items")
    is_empty = lengths == 0
    if is_empty.any():
        notes.append(f"{_some(owners, is_empty)} without an item left to recommend")
    is_short = (lengths < k) & ~is_empty
    if is_short.any():
        notes.append(f"{_some(owners, is_short)} with fewer than {k:,} items left")
    return tuple(notes)


def _some(owners: pl.Series, chosen: BoolArray) -> str:
    kind = owners.name
    example = owners[int(np.flatnonzero(chosen)[0])]
    if chosen.sum() == 1:
        return f"{kind} {example!r}"
    kinds = "histories" if kind == "history" else f"{kind}s"
    return f"{chosen.sum():,} {kinds}, such as {example!r},"
