"""Ids of any hashable kind, and the text that stands for them in a data set."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from torch import Tensor

from prismrec.data.readers.tabular import Table
from prismrec.errors import InputError
from prismrec.types import Vocabulary

_TEXT = (pl.String, pl.Categorical, pl.Enum)


@dataclass(frozen=True)
class IdColumn:
    """A column with the ids of users or of items.

    Attributes:
        table: the table.
        name: the column.
    """

    table: Table
    name: str

    @property
    def ids(self) -> pl.Series:
        """The ids as given."""
        return self.table.frame[self.name]


class TextIds:
    """The text of each id, `str(id)`. Ids are the same if they are equal in Python."""

    def __init__(self, columns: Sequence[IdColumn], kind: str) -> None:
        """Collect the ids of all columns.

        Args:
            columns: the columns with ids of one kind.
            kind: "user" or "item".

        Raises:
            InputError: an id that is not hashable, or two different ids with the same text, such as 1 and "1".
        """
        self.kind = kind
        self._is_text = all(column.ids.dtype in _TEXT for column in columns)
        self._is_integer = all(column.ids.dtype.is_integer() for column in columns)
        self._text_of: dict[Hashable, str] = {}
        self._given: dict[str, Hashable] = {}
        for column in columns:
            if not (self._is_text or self._is_integer):
                self._collect(column)

    def in_table(self, column: IdColumn) -> Table:
        """The table of a column with text in place of the ids."""
        if self._is_text or self._is_integer:
            texts = column.ids.cast(pl.String)
        else:
            texts = pl.Series([self._text_of.get(_plain(each)) for each in column.ids.to_list()], dtype=pl.String)
        return replace(column.table, frame=column.table.frame.with_columns(texts.alias(column.name)))

    def vocabulary(self, texts: Vocabulary) -> Vocabulary:
        """A vocabulary of texts with the ids as given."""
        if self._is_text:
            return texts
        ids = texts.ids.cast(pl.Int128).to_list() if self._is_integer else [self._given[text] for text in texts.ids]
        return Vocabulary(texts.ids, self.kind, given=ids)

    def _collect(self, column: IdColumn) -> None:
        for row, value in enumerate(column.ids.to_list()):
            identifier = _plain(value)
            if identifier is None:
                continue
            try:
                text = self._text_of.setdefault(identifier, str(identifier))
            except TypeError:
                found = f"{self.kind} id {value!r} ({type(value).__name__})"
                raise InputError(column.table.place(row, column.name), found, "an id that is hashable") from None
            first = self._given.setdefault(text, identifier)
            if first != identifier:
                found = f"{self.kind} id {identifier!r} ({type(identifier).__name__}) beside {first!r} "
                found += f"({type(first).__name__}), which is the same as text"
                raise InputError(column.table.place(row, column.name), found, f"{self.kind} ids of one type")


def _plain(value: Any) -> Any:
    """A Python object for an id; None if it is missing."""
    identifier = value.tolist() if isinstance(value, np.generic | Tensor) else value
    return None if isinstance(identifier, float) and np.isnan(identifier) else identifier
