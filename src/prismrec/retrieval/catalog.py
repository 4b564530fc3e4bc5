"""Ids of items and columns of the item table, translated to numbers and masks."""

import datetime
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from types import NoneType
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from prismrec.errors import ParameterError, check_list, check_type
from prismrec.retrieval.conditions import ID_COLUMN, group_numbers, newer_mask, where_mask
from prismrec.retrieval.ranking import Int64Array
from prismrec.types import BoolArray, Vocabulary

_NEWEST = "a column, a date and a whole number, such as ('added', datetime.date(2026, 1, 31), 3)"

_TITLES = ("title", "name", "item_name", "product_name", "headline")

_SHOWN = 3
"""How many ids a message lists."""


def title_column(table: pl.DataFrame) -> str | None:
    """The column of text that names an item for people, by its usual name in any case; None if there is none."""
    texts = {name.lower(): name for name in reversed(table.columns) if table[name].dtype == pl.String}
    return next((texts[name] for name in _TITLES if name in texts), None)


class Newest(NamedTuple):
    """A minimum of new items: at least `least` items of a list are later than `after` in a column of the item table."""

    column: str
    after: datetime.date
    least: int


@dataclass(frozen=True)
class Filters:
    """Which items a list may hold, and how it is composed.

    Attributes:
        exclude: ids of items to leave out.
        candidates: recommend only items with these ids; None for all items.
        where: a condition over the item table, an SQL expression of polars: "price < 20 and in_stock".
        at_most: column of the item table → the largest number of items with the same value in it. Items without a value
            are not limited.
        newest: how many items must be new, if there are enough.
        diversity: from 0 (by score) to 1 (by variety); see `prismrec.retrieval.compose.Rules`.

    Raises:
        ParameterError: a limit or a count is below 1, or `diversity` is outside 0..1.
    """

    exclude: tuple[Hashable, ...] = ()
    candidates: tuple[Hashable, ...] | None = None
    where: str | None = None
    at_most: tuple[tuple[str, int], ...] = ()
    newest: Newest | None = None
    diversity: float = 0.0

    def __post_init__(self) -> None:
        for column, most in self.at_most:
            check_type("at_most", most, Integral, f"a whole number for column {column!r}")
            if most < 1:
                raise ParameterError("at_most", f"{most} for column {column!r}", "1 or more")
        if self.newest is not None:
            check_type("newest", self.newest.least, Integral, _NEWEST)
            if self.newest.least < 1:
                raise ParameterError("newest", f"{self.newest.least} items", "1 or more")
        check_type("diversity", self.diversity, Real, "a number within 0..1")
        if not 0 <= self.diversity <= 1:
            raise ParameterError("diversity", str(self.diversity), "a number within 0..1")

    @classmethod
    def of(
        cls,
        exclude: Iterable[Hashable] = (),
        candidates: Iterable[Hashable] | None = None,
        where: str | None = None,
        at_most: Mapping[str, int] | None = None,
        newest: tuple[str, datetime.date | str, int] | None = None,
        diversity: float = 0.0,
    ) -> "Filters":
        """Filters from the arguments of `Run.recommend`.

        Raises:
            ParameterError: an argument cannot be used.
        """
        excluded = check_list("exclude", exclude, "a list of item ids")
        chosen = None if candidates is None else check_list("candidates", candidates, "a list of item ids")
        check_type("where", where, (str, NoneType), "an SQL expression over columns of the item table")
        check_type("at_most", at_most, (Mapping, NoneType), "a mapping from columns to numbers: {'brand': 2}")
        check_type("newest", newest, (tuple, list, NoneType), _NEWEST)
        return cls(
            exclude=tuple(excluded),
            candidates=None if chosen is None else tuple(chosen),
            where=where,
            at_most=tuple((at_most or {}).items()),
            newest=None if newest is None else _as_newest(newest),
            diversity=diversity,
        )


def _as_newest(given: Sequence[Any]) -> Newest:
    """A floor of new items, whose date may be ISO 8601 text."""
    try:
        column, after, least = given
        day = datetime.datetime.fromisoformat(after) if isinstance(after, str) else after
    except ValueError as error:
        raise ParameterError("newest", repr(given), _NEWEST) from error
    if not isinstance(day, datetime.date):
        raise ParameterError("newest", repr(given), _NEWEST)
    return Newest(column, day, least)


class Catalog:
    """The ids of the items and the item table.

    Attributes:
        items: item ids.
        table: row i describes item i; it always has the column `item_id`.
    """

    def __init__(self, items: Vocabulary, table: pl.DataFrame | None) -> None:
        self.items = items
        self._described = pl.DataFrame() if table is None else table

    @cached_property
    def table(self) -> pl.DataFrame:
        """The item table with a column of ids."""
        ids = pl.DataFrame({ID_COLUMN: self.items.ids})
        return ids.hstack(self._described.drop(ID_COLUMN, strict=False))

    def columns(self, chosen: Sequence[str] | None) -> pl.DataFrame:
        """Some columns of the item table, or all but the ids.

        Raises:
            ParameterError: a column is unknown.
        """
        if chosen is None:
            return self._described
        names = check_list("columns", chosen, "a list of names")
        for name in names:
            if not isinstance(name, str) or name not in self._described.columns:
                known = ", ".join(self._described.columns) or "none: the data set has no item table"
                raise ParameterError("columns", repr(name), f"columns of the item table ({known})")
        return self._described.select(list(dict.fromkeys(names)))

    def numbers(self, ids: Iterable[Hashable], parameter: str) -> Int64Array:
        """The numbers of item ids.

        Raises:
            ParameterError: ids are unknown.
        """
        ids = list(ids)
        unknown = [each for each in ids if each not in self.items]
        if unknown:
            raise ParameterError(parameter, named(unknown), f"item ids, such as {self.items.id(0)!r}")
        return np.array([self.items.number(each) for each in ids], dtype=np.int64)

    def allowed(self, filters: Filters) -> Int64Array | None:
        """The items that `candidates` and `where` allow, in ascending order; None for all.

        Raises:
            ParameterError: an id is unknown, or the condition cannot be used.
        """
        mask: BoolArray | None = None
        if filters.where is not None:
            mask = where_mask(self.table, filters.where)
        if filters.candidates is not None:
            candidates = np.zeros(len(self.items), dtype=np.bool_)
            candidates[self.numbers(filters.candidates, "candidates")] = True
            mask = candidates if mask is None else mask & candidates
        return None if mask is None else np.flatnonzero(mask)

    def groups(self, column: str) -> Int64Array:
        """The group of each item by a column; see `group_numbers`."""
        return group_numbers(self.table, column)

    def is_new(self, newest: Newest) -> BoolArray:
        """Whether each item is later than the date; see `newer_mask`."""
        return newer_mask(self.table, newest.column, newest.after)


def named(ids: Sequence[Hashable]) -> str:
    """Some ids for a message: 'a', 'b', 'c' and 7 more."""
    shown = ", ".join(repr(each) for each in ids[:_SHOWN])
    return f"{shown} and {len(ids) - _SHOWN:,} more" if len(ids) > _SHOWN else shown
