"""The parameters of readers, and what they return."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from pathlib import Path
from types import NoneType
from typing import Literal, get_args

import polars as pl

from prismrec.data.import_record import ImportRecord
from prismrec.data.split import Protocol
from prismrec.errors import InputError, ParameterError, check_choice, check_list, check_type, printable
from prismrec.provenance import Encoding
from prismrec.types import FloatArray

UnknownItems = Literal["refuse", "drop"]
LABELS_SET_ASIDE = "the file's own split labels were set aside"
_CONDITION = re.compile(r"\s*(.+?)\s*(<=|>=|!=|==?|<|>)\s*(.*?)\s*")


@dataclass(frozen=True)
class ColumnNames:
    """Names of columns in the file. None looks for the usual names."""

    user: str | None = None
    item: str | None = None
    timestamp: str | None = None
    split: str | None = None
    rating: str | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            check_type(f"columns.{each.name}", getattr(self, each.name), (str, NoneType), "the name of a column")


@dataclass(frozen=True)
class Condition:
    """A condition on a column of the interactions, such as `rating >= 4`.

    Attributes:
        column: the name of the column; None is the column of ratings.
        operator: `=`, `!=`, `<`, `<=`, `>` or `>=`.
        value: the other side: a number, or for `=` and `!=` also text.
    """

    column: str | None
    operator: str
    value: str

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Parse text such as `label=1` or `rating>=4`.

        Raises:
            ParameterError: the text is not a condition.
        """
        match = _CONDITION.fullmatch(text)
        if match is None:
            raise ParameterError("where", repr(text), "a condition such as rating>=4 or label=1")
        column, operator, value = match.groups()
        operator = "=" if operator == "==" else operator
        if operator not in ("=", "!=") and not is_number(value):
            raise ParameterError("where", repr(text), f"a number after {operator}")
        return cls(column, operator, value)

    def describe(self) -> str:
        """The condition as text."""
        return f"{'rating' if self.column is None else self.column} {self.operator} {self.value or repr('')}"


def several(parameter: str, values: Sequence[str]) -> tuple[str, ...]:
    """The values of a parameter that takes several strings.

    Raises:
        ParameterError: one string alone, which would be taken for a sequence of letters, or something else.
    """
    if isinstance(values, str):
        raise ParameterError(parameter, repr(values), f"a list such as [{values!r}]")
    texts = check_list(parameter, values, "a list of texts")
    for text in texts:
        check_type(parameter, text, str, "a list of texts")
    return tuple(texts)


def parse_conditions(where: Sequence[str], min_rating: float | None) -> tuple[Condition, ...]:
    """The conditions of the parameters `where` and `min_rating` of `load`.

    Raises:
        ParameterError: text that is not a condition, or a rating that is not finite.
    """
    conditions = [Condition.parse(text) for text in several("where", where)]
    if min_rating is not None:
        check_type("min_rating", min_rating, Real, "a finite number")
        if not math.isfinite(min_rating):
            raise ParameterError("min_rating", str(min_rating), "a finite number")
        conditions.append(Condition(None, ">=", f"{min_rating:.17g}"))
    return tuple(conditions)


def is_number(text: str) -> bool:
    """Whether the text is a finite number."""
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?", text, re.ASCII) is not None


@dataclass(frozen=True)
class ReadOptions:
    """The parameters of a reader, from those of `load`.

    Attributes:
        columns: names of columns.
        modalities: the modalities to read; None reads all.
        memory_limit: the largest size of an unpacked file, in bytes; None is no limit.
        npy_order: "items" says that row i of every `features/*.npy` belongs to row i of the item table.
        split_by: the protocol of the split; None takes the labels of the file if it has any.
        ignore_columns: columns to leave out, `COLUMN` in every table or `FILE:COLUMN` in one.
        where: conditions that interactions must meet.
        unknown_items: what becomes of interactions with items that the item table lacks.
        ignored_columns: the columns that were found and ignored; the reader of tables fills it.

    Raises:
        ParameterError: a value that is not one of these.
    """

    columns: ColumnNames = field(default_factory=ColumnNames)
    modalities: tuple[str, ...] | None = None
    memory_limit: int | None = None
    npy_order: Literal["items"] | None = None
    split_by: Protocol | None = None
    ignore_columns: tuple[str, ...] = ()
    where: tuple[Condition, ...] = ()
    unknown_items: UnknownItems = "refuse"
    ignored_columns: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        check_type("columns", self.columns, ColumnNames, "ColumnNames, such as ColumnNames(user='reader')")
        if self.npy_order is not None:
            check_choice("npy_order", self.npy_order, ("items",))
        check_choice("unknown_items", self.unknown_items, get_args(UnknownItems))
        check_type("memory_limit", self.memory_limit, (Integral, NoneType), "a number of bytes above 0")
        if self.memory_limit is not None and self.memory_limit <= 0:
            raise ParameterError("memory_limit", str(self.memory_limit), "a number of bytes above 0")

    def require_ignored(self, source: object) -> None:
        """Check that every column to ignore was found.

        Raises:
            ParameterError: no table has it.
        """
        missing = [name for name in self.ignore_columns if name not in self.ignored_columns]
        if missing:
            raise ParameterError("ignore_columns", ", ".join(map(repr, missing)), f"columns of a table of {source}")

    @property
    def needs_labels(self) -> bool:
        """Whether the split uses the labels of the file."""
        return self.split_by in (None, "label")

    @property
    def needs_times(self) -> bool:
        """Whether the split uses timestamps."""
        return self.split_by in ("last", "time")


@dataclass(frozen=True)
class SourceFiles:
    """The files of interactions that a layout consists of.

    Attributes:
        name: what to call the data set.
        folder: the folder that everything else is looked for in.
        parts: the files; if there are several, each has its split label (0 train, 1 valid, 2 test).
    """

    name: str
    folder: Path
    parts: tuple[tuple[int | None, Path], ...]

    @property
    def path(self) -> Path:
        """The file of interactions, or of several the folder; for messages."""
        return self.parts[0][1] if len(self.parts) == 1 else self.parts[0][1].parent


@dataclass(frozen=True, eq=False)
class RawFeatures:
    """One modality as read.

    Attributes:
        path: the file.
        ids: the distinct id of each row, String `[n]`.
        values: finite, float32 `[n, F]`.
        notes: what was left out.
        encoding: how `prismrec features` made them; None if it did not.
    """

    path: Path
    ids: pl.Series
    values: FloatArray
    notes: tuple[str, ...] = ()
    encoding: Encoding | None = None


@dataclass(frozen=True, eq=False)
class RawData:
    """Valid content of a source, with ids, before the split.

    Attributes:
        name: what to call the data set.
        path: the file or folder with the interactions.
        pairs: columns `user`, `item` (String, never empty), optionally `timestamp` (a number) and `label`
            (Int8: 0 train, 1 valid, 2 test). Pairs may repeat.
        features: features by modality.
        users: ids of users that exist without a pair; None if all users have one.
        items: ids of items that exist without a pair; None if all items have one.
        catalog: `item_id` (distinct) and other columns.
        notes: what the reader counted and decided, one sentence each.
        imported: where an imported data set comes from; None for others.
    """

    name: str
    path: Path
    pairs: pl.DataFrame
    features: Mapping[str, RawFeatures] = field(default_factory=dict)
    users: pl.Series | None = None
    items: pl.Series | None = None
    catalog: pl.DataFrame | None = None
    notes: tuple[str, ...] = ()
    imported: ImportRecord | None = None


def require_printable_name(path: Path, name: str) -> None:
    """Refuse a modality whose file name is not UTF-8, or has line breaks or control characters.

    It would not survive in a run, or break the lines of a terminal.

    Raises:
        InputError: the name cannot be printed.
    """
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        raise InputError(path, "a file name that is not UTF-8", "a file with another name")
    if printable(name) != name:
        raise InputError(path, f"a modality called {name!r}", "a file name without control characters")
