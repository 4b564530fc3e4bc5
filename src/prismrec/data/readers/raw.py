"""What every reader returns, and what it may be told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import polars as pl

from prismrec.errors import InputError
from prismrec.types import FloatArray


@dataclass(frozen=True)
class ColumnNames:
    """The names of columns in the file, where they are not among the usual ones (None: look for those)."""

    user: str | None = None
    item: str | None = None
    timestamp: str | None = None
    split: str | None = None


@dataclass(frozen=True)
class ReadOptions:
    """What a reader may be told.

    Attributes:
        columns: names of columns.
        modalities: which modalities to read; None for all.
        memory_limit: refuse any file larger than this, in bytes; None for no limit.
        npy_order: "items" says that row i of every `features/*.npy` belongs to row i of the item table.

    Raises:
        InputError: another order.
    """

    columns: ColumnNames = field(default_factory=ColumnNames)
    modalities: tuple[str, ...] | None = None
    memory_limit: int | None = None
    npy_order: Literal["items"] | None = None

    def __post_init__(self) -> None:
        if self.npy_order not in (None, "items"):
            raise InputError("--npy-order", repr(self.npy_order), "items, or nothing")


@dataclass(frozen=True, eq=False)
class RawFeatures:
    """One modality as read: finite float32 values `[n, F]` and the distinct id of each row, String `[n]`."""

    path: Path
    ids: pl.Series
    values: FloatArray


@dataclass(frozen=True, eq=False)
class RawData:
    """Valid content of a source, still in ids, not yet split.

    Attributes:
        name: what to call the data set.
        path: the file with the interactions.
        pairs: columns `user`, `item` (String, never empty), optionally `timestamp` (a number) and `label`
            (Int8: 0 train, 1 valid, 2 test). Pairs may repeat.
        features: by modality.
        users: ids of users that exist, with or without a pair; None if only pairs tell.
        items: likewise for items.
        catalog: `item_id` (distinct) and any other columns.
        notes: what was counted and decided while reading.
    """

    name: str
    path: Path
    pairs: pl.DataFrame
    features: Mapping[str, RawFeatures] = field(default_factory=dict)
    users: pl.Series | None = None
    items: pl.Series | None = None
    catalog: pl.DataFrame | None = None
    notes: tuple[str, ...] = ()
