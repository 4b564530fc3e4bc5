"""Options that choose and read a data set. A command lists the options it needs and calls `read_dataset`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from prismrec.errors import InputError

if TYPE_CHECKING:
    from prismrec.data import ColumnNames, Dataset, SplitSpec

_FORMAT_HELP = "Layout: table, mmrec, recbole or lattice. Detected if not given."
_BY_HELP = (
    "How to split: label, user, overall, last, time or cold-items. "
    "Default: label if the file has split labels, else user."
)
_RATIOS_HELP = "Shares train:valid:test; 8:1:1 if not given."
_SEED_HELP = "Seed of a random split; 0 if not given."
_FILL_HELP = "How to fill the features of items that lack a modality: mean or zero."
_K_CORE_HELP = "Keep only users and items with at least this many interactions."
_MODALITY_HELP = "Read only this modality; may be repeated."
_IGNORE_HELP = "Leave this column out of all tables, or out of one: FILE:COLUMN; may be repeated."
_WHERE_HELP = "Keep interactions that meet a condition, such as label=1 or rating>=4; may be repeated."
_RATING_HELP = "Keep interactions with at least this rating."
_UNKNOWN_HELP = "Interactions with items that the item table lacks: refuse or drop."
_NPY_ORDER_HELP = "'items': row i of features/*.npy belongs to row i of the item table."
_MEMORY_HELP = "Refuse larger files, for example 500M or 4G (powers of 1,024)."

Source = Annotated[Path, typer.Argument(help="A folder, or the file of interactions in it.", show_default=False)]
Format = Annotated[str | None, typer.Option("--format", help=_FORMAT_HELP, show_default=False)]
By = Annotated[str | None, typer.Option("--by", help=_BY_HELP, show_default=False)]
Ratios = Annotated[str | None, typer.Option("--ratios", help=_RATIOS_HELP, show_default=False)]
SplitSeed = Annotated[int | None, typer.Option("--split-seed", help=_SEED_HELP, show_default=False, min=0)]
SplitOrPlainSeed = Annotated[
    int | None, typer.Option("--split-seed", "--seed", help=_SEED_HELP, show_default=False, min=0)
]
"""For commands in which `--seed` has no other meaning."""
Fill = Annotated[str, typer.Option("--fill", help=_FILL_HELP)]
KCore = Annotated[int, typer.Option("--k-core", help=_K_CORE_HELP)]
Modalities = Annotated[list[str] | None, typer.Option("--modality", help=_MODALITY_HELP, show_default=False)]
UserColumn = Annotated[str | None, typer.Option("--user-column", help="Column with user ids.", show_default=False)]
ItemColumn = Annotated[str | None, typer.Option("--item-column", help="Column with item ids.", show_default=False)]
TimeColumn = Annotated[str | None, typer.Option("--time-column", help="Column with timestamps.", show_default=False)]
SplitColumn = Annotated[str | None, typer.Option("--split-column", help="Column with the split.", show_default=False)]
RatingColumn = Annotated[str | None, typer.Option("--rating-column", help="Column with ratings.", show_default=False)]
IgnoreColumns = Annotated[list[str] | None, typer.Option("--ignore-column", help=_IGNORE_HELP, show_default=False)]
Where = Annotated[list[str] | None, typer.Option("--where", help=_WHERE_HELP, show_default=False)]
MinRating = Annotated[float | None, typer.Option("--min-rating", help=_RATING_HELP, show_default=False)]
UnknownItems = Annotated[str, typer.Option("--unknown-items", help=_UNKNOWN_HELP)]
NpyOrder = Annotated[str | None, typer.Option("--npy-order", help=_NPY_ORDER_HELP, show_default=False)]
MemoryLimit = Annotated[str | None, typer.Option("--memory-limit", help=_MEMORY_HELP, show_default=False)]


@dataclass(frozen=True)
class RowOptions:
    """The options that leave out columns and interactions."""

    ignore_columns: Sequence[str]
    where: Sequence[str]
    min_rating: float | None
    unknown_items: str


def read_dataset(
    source: Path,
    layout: str | None,
    split: "SplitSpec | None",
    columns: "ColumnNames",
    rows: RowOptions,
    modalities: list[str] | None,
    fill: str,
    k_core: int,
    npy_order: str | None,
    memory_limit: str | None,
) -> "Dataset":
    """Load the data set that the options describe. `load` checks the values that are passed on as text.

    Args:
        source: a folder, or the file of interactions in it.
        layout: the value of `--format`.
        split: the result of `split_spec`.
        columns: the result of `column_names`.
        rows: which columns and interactions to leave out.
        modalities: the modalities to read. None and an empty list read all of them.
        fill: the value of `--fill`.
        k_core: the value of `--k-core`.
        npy_order: the value of `--npy-order`.
        memory_limit: the value of `--memory-limit`.

    Raises:
        InputError: an option or a file cannot be used.
    """
    from prismrec.data import load

    return load(
        source,
        format=layout,
        split=split,
        fill=cast(Any, fill),
        k_core=k_core,
        columns=columns,
        modalities=modalities or None,  # typer passes an empty list if the option is absent
        npy_order=cast(Any, npy_order),
        memory_limit=None if memory_limit is None else parse_size(memory_limit),
        ignore_columns=rows.ignore_columns,
        where=rows.where,
        min_rating=rows.min_rating,
        unknown_items=cast(Any, rows.unknown_items),
    )


def column_names(
    user: str | None, item: str | None, time: str | None, split: str | None, rating: str | None
) -> "ColumnNames":
    """The names of the columns. None stands for the usual names."""
    from prismrec.data import ColumnNames

    return ColumnNames(user=user, item=item, timestamp=time, split=split, rating=rating)


def split_spec(by: str | None, ratios: str | None, seed: int | None) -> "SplitSpec | None":
    """The split that the options describe, or None if none of them is given.

    Raises:
        InputError: the protocol is unknown, or the ratios are not three shares.
    """
    from prismrec.data import SplitSpec

    if by is None and ratios is None and seed is None:
        return None
    shares = (8.0, 1.0, 1.0) if ratios is None else _parse_ratios(ratios)
    return SplitSpec(by=cast(Any, by or "user"), ratios=shares, seed=seed or 0)


def _parse_ratios(text: str) -> tuple[float, float, float]:
    try:
        train, valid, test = text.split(":")
        return float(train), float(valid), float(test)
    except ValueError as error:
        raise InputError("--ratios", repr(text), "three shares train:valid:test, such as 8:1:1") from error


def parse_size(text: str) -> int:
    """The number of bytes in a text such as "4096", "500M", "4G" or "1.5GiB". The units are powers of 1,024.

    Raises:
        InputError: the text is not a size.
    """
    match = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([kmgt]?)(?:i?b)?", text.strip().lower())
    if match is None:
        raise InputError("--memory-limit", repr(text), "a size such as 500M or 4G")
    number = float(match[1])
    power = " kmgt".index(match[2] or " ")
    return int(number * 1024**power)
