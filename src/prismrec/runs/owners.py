"""The owners of lists, from the arguments of a Python caller: one or several ids or histories."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import polars as pl

from prismrec.errors import ParameterError, check_list
from prismrec.retrieval import Audience, Retriever, Unknown
from prismrec.types import Vocabulary

Ids = Hashable | Iterable[Hashable]
"""An id, or several: a list, an array or another iterable."""
Histories = Iterable[Hashable] | Iterable[Iterable[Hashable]]


def is_one_id(ids: Ids | Histories, vocabulary: Vocabulary) -> bool:
    """Whether a parameter is one id, not several. A tuple is one id if the vocabulary has it."""
    return isinstance(ids, str | bytes) or not isinstance(ids, Iterable) or ids in vocabulary


def as_list(ids: Ids, vocabulary: Vocabulary) -> list[Any]:
    """One id or several as a list."""
    if getattr(ids, "ndim", None) == 0:  # a scalar of NumPy or PyTorch
        return [ids.item()]  # type: ignore[union-attr]
    return [ids] if is_one_id(ids, vocabulary) or not isinstance(ids, Iterable) else list(ids)


def owners_of(ids: list[Any], vocabulary: Vocabulary, name: str) -> pl.Series:
    """A column of ids, of the type that the vocabulary has; unknown ones are as given.

    Args:
        ids: some of them may be unknown.
        vocabulary: knows the others.
        name: of the column.
    """
    if all(each in vocabulary for each in ids):
        return vocabulary.ids_of([vocabulary.number(each) for each in ids]).alias(name)
    return pl.Series(name, ids, strict=False)


def find_owners(
    retriever: Retriever, users: Ids | None, histories: Histories | None, unknown: Unknown | None
) -> tuple[pl.Series, Audience, bool]:
    """The owners of the lists in a column `user` or `history`, the audience, and whether one list is asked for.

    Args:
        retriever: knows the ids.
        users: a user id or several; None for visitors, or for all users if there are no histories either.
        histories: item ids, or several lists of item ids.
        unknown: as in `Run.recommend`.

    Raises:
        InputError: as from `Retriever.audience`.
    """
    lists, is_flat = (None, False) if histories is None else _lists(histories, retriever.catalog.items)
    if users is None and lists is not None:
        audience = retriever.audience(None, lists, unknown)
        return pl.Series("history", range(len(audience))), audience, is_flat
    vocabulary = retriever.users
    ids = vocabulary.ids_of(range(len(vocabulary))).to_list() if users is None else as_list(users, vocabulary)
    audience = retriever.audience(ids, lists, unknown)
    return owners_of(ids, vocabulary, "user"), audience, users is not None and is_one_id(users, vocabulary)


def _lists(histories: Histories, items: Vocabulary) -> tuple[list[Sequence[Hashable]], bool]:
    """The histories as a list of lists, and whether they are one flat list of ids.

    Raises:
        ParameterError: they are one id, or ids and lists are mixed.
    """
    if is_one_id(histories, items):
        raise ParameterError("histories", repr(histories), "a list of item ids")
    each = check_list("histories", histories, "a list of item ids, or lists of item ids")
    ids: list[Hashable] = [history for history in each if is_one_id(history, items)]
    if len(ids) == len(each):
        return [ids], True
    if ids:
        raise ParameterError("histories", f"the id {ids[0]!r} among lists", "item ids, or lists of item ids")
    return [check_list("histories", history, "lists of item ids") for history in each], False
