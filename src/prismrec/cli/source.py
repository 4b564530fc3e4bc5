"""Options that choose and read a data set."""

import re
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, fields
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from prismrec.errors import InputError

if TYPE_CHECKING:
    from prismrec.data import Dataset, SplitSpec

_FORMAT_HELP = "Layout: table, mmrec, recbole or lattice. Detected if not given."
_BY_HELP = (
    "How to split: label, user, overall, last, time or cold-items. "
    "Default: label if the file has split labels, else user."
)
_RATIOS_HELP = "Shares train:valid:test; 8:1:1 if not given."
_SEED_HELP = "Seed of a random split; 0 if not given."
_FILL_HELP = "How to fill the features of items that lack a modality: mean or zero."
_K_CORE_HELP = "Keep only users and items with at least this number of interactions; 0 keeps all."
_MODALITY_HELP = "Read only this modality; may be repeated."
_IGNORE_HELP = "Leave this column out of all tables, or out of one: FILE:COLUMN; may be repeated."
_WHERE_HELP = "Keep interactions that meet a condition, such as label=1 or rating>=4; may be repeated."
RATING_HELP = "Keep interactions with at least this rating."
_UNKNOWN_HELP = "Refuse or drop interactions with items that the item table lacks."
_NPY_ORDER_HELP = "items: row i of features/*.npy belongs to row i of the item table."
_MEMORY_HELP = "Refuse files with more content than this, such as 500M or 4G (powers of 1,024)."

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
MinRating = Annotated[float | None, typer.Option("--min-rating", help=RATING_HELP, show_default=False)]
UnknownItems = Annotated[str, typer.Option("--unknown-items", help=_UNKNOWN_HELP)]
NpyOrder = Annotated[str | None, typer.Option("--npy-order", help=_NPY_ORDER_HELP, show_default=False)]
MemoryLimit = Annotated[str | None, typer.Option("--memory-limit", help=_MEMORY_HELP, show_default=False)]


@dataclass(frozen=True)
class DataOptions:
    """The values of the options that say how to read and split a data set.

    `with_data_options` adds the fields to the signature of a command. The parameters of `prismrec.load` have the same
    names, except that `format` is called `layout` here, and that the split and the columns take several options.
    """

    layout: Format = None
    by: By = None
    ratios: Ratios = None
    split_seed: SplitSeed = None
    fill: Fill = "mean"
    k_core: KCore = 0
    modality: Modalities = None
    user_column: UserColumn = None
    item_column: ItemColumn = None
    time_column: TimeColumn = None
    split_column: SplitColumn = None
    rating_column: RatingColumn = None
    ignore_column: IgnoreColumns = None
    where: Where = None
    min_rating: MinRating = None
    unknown_items: UnknownItems = "refuse"
    npy_order: NpyOrder = None
    memory_limit: MemoryLimit = None

    def read(self, source: Path) -> "Dataset":
        """Load a data set. `load` checks the values that are passed on as text.

        Args:
            source: a folder, or the file of interactions in it.

        Raises:
            InputError: an option or a file cannot be used.
        """
        from prismrec.data import ColumnNames, load

        columns = ColumnNames(
            user=self.user_column,
            item=self.item_column,
            timestamp=self.time_column,
            split=self.split_column,
            rating=self.rating_column,
        )
        return load(
            source,
            format=self.layout,
            split=self.split,
            fill=cast(Any, self.fill),
            k_core=self.k_core,
            columns=columns,
            modalities=self.modality or None,  # typer passes an empty list if the option is absent
            npy_order=cast(Any, self.npy_order),
            memory_limit=None if self.memory_limit is None else parse_size(self.memory_limit),
            ignore_columns=self.ignore_column or (),
            where=self.where or (),
            min_rating=self.min_rating,
            unknown_items=cast(Any, self.unknown_items),
        )

    @property
    def split(self) -> "SplitSpec | None":
        """The split that the options describe, or None if none of them is given.

        Raises:
            InputError: the protocol is unknown, or the ratios are not three shares.
        """
        from prismrec.data import SplitSpec

        if self.by is None and self.ratios is None and self.split_seed is None:
            return None
        shares = (8.0, 1.0, 1.0) if self.ratios is None else _parse_ratios(self.ratios)
        return SplitSpec(by=cast(Any, self.by or "user"), ratios=shares, seed=self.split_seed or 0)


def with_data_options(*, split_seed: object) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the fields of `DataOptions` as options, in place of its parameter `options`.

    Args:
        split_seed: `SplitOrPlainSeed`, or `SplitSeed` for a command in which `--seed` has another meaning.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def with_options(**values: Any) -> None:
            options = DataOptions(**{field.name: values.pop(field.name) for field in fields(DataOptions)})
            command(**values, options=options)

        parameters = [each for each in signature(command).parameters.values() if each.name != "options"]
        for field in fields(DataOptions):
            annotation = _in_panel(split_seed if field.name == "split_seed" else field.type)
            parameters.append(
                Parameter(field.name, Parameter.KEYWORD_ONLY, default=field.default, annotation=annotation)
            )
        with_options.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # read by typer
        with_options.__annotations__ = {each.name: each.annotation for each in parameters}
        return with_options

    return decorate


def _in_panel(annotation: object) -> object:
    """The annotation of an option, which the help then shows in a panel with the other data options."""
    kind, option = get_args(annotation)
    option = copy(option)
    option.rich_help_panel = "Data options"
    return Annotated[kind, option]


def _parse_ratios(text: str) -> tuple[float, float, float]:
    shares = re.fullmatch(":".join([r"([0-9]{1,18}(?:\.[0-9]{1,18})?)"] * 3), text)
    if shares is None:
        raise InputError("--ratios", repr(text), "three shares train:valid:test, such as 8:1:1")
    return float(shares[1]), float(shares[2]), float(shares[3])


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
