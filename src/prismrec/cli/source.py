"""The options that say which data to read, once for all commands that read data."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from prismrec.data import ColumnNames, Dataset, SplitSpec, load
from prismrec.data.split import Protocol
from prismrec.errors import InputError


def _option(help_text: str, *names: str) -> Any:
    return typer.Option(*names, help=help_text, show_default=False)


@dataclass(frozen=True)
class SourceOptions:
    """What the command line said about the data; each field is an option of `with_source`'s commands."""

    source: Annotated[Path, typer.Argument(help="A folder, or the file of interactions in it.", show_default=False)]
    layout: Annotated[str | None, _option("table, mmrec, recbole or lattice; recognised if not given.", "--format")] = (
        None
    )
    by: Annotated[
        str | None,
        _option(
            "label, user, overall, last, time or cold-items; if not given, label where the file has labels, else user."
        ),
    ] = None
    ratios: Annotated[str | None, _option("Shares train:valid:test; 8:1:1 if not given.")] = None
    split_seed: Annotated[int | None, _option("Of a random split; 0 if not given.")] = None
    fill: Annotated[str, typer.Option(help="Features of items that lack a modality: mean or zero.")] = "mean"
    k_core: Annotated[int, typer.Option(help="Keep users and items with at least this many interactions.")] = 0
    modality: Annotated[list[str] | None, _option("Read only this modality; may be repeated.")] = None
    user_column: Annotated[str | None, _option("Column with user ids.")] = None
    item_column: Annotated[str | None, _option("Column with item ids.")] = None
    time_column: Annotated[str | None, _option("Column with timestamps.")] = None
    split_column: Annotated[str | None, _option("Column with split labels.")] = None
    npy_order: Annotated[
        str | None, _option("'items': row i of features/*.npy belongs to row i of the item table.")
    ] = None
    memory_limit: Annotated[str | None, _option("Refuse larger files, such as 500M or 4G (powers of 1,024).")] = None

    def read(self) -> Dataset:
        """Load the data set; `load` refuses words that it does not know.

        Raises:
            InputError: a word or a file that cannot be used.
        """
        return load(
            self.source,
            format=self.layout,
            split=split_spec(self.by, self.ratios, self.split_seed),
            fill=cast(Any, self.fill),
            k_core=self.k_core,
            columns=ColumnNames(self.user_column, self.item_column, self.time_column, self.split_column),
            modalities=self.modality or None,  # typer makes an absent list option empty
            npy_order=cast(Any, self.npy_order),
            memory_limit=None if self.memory_limit is None else parse_size(self.memory_limit),
        )


def with_source(command: Callable[..., None]) -> Callable[..., None]:
    """Replace a command's parameter `data` by one option per field of `SourceOptions`.

    `--seed` is the split's where the command has no other use for that name; `--split-seed` always is.
    """
    own = [parameter for name, parameter in inspect.signature(command).parameters.items() if name != "data"]
    fields = list(inspect.signature(SourceOptions).parameters.values())
    if "seed" not in [parameter.name for parameter in own]:
        position = [field.name for field in fields].index("split_seed")
        both = Annotated[int | None, _option("Of a random split; 0 if not given.", "--split-seed", "--seed")]
        fields[position] = fields[position].replace(annotation=both)

    def run(**given: Any) -> None:
        data = SourceOptions(**{field.name: given.pop(field.name) for field in fields})
        command(data=data, **given)

    # By keyword only, so that required and optional parameters may come in the order in which help shows them.
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*own, *fields)]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads options from it
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


def split_spec(by: str | None, ratios: str | None, seed: int | None) -> SplitSpec | None:
    """The split that the options ask for, None if they ask for none.

    Raises:
        InputError: an unknown protocol or impossible shares.
    """
    if by is None and ratios is None and seed is None:
        return None
    try:
        shares = tuple(float(share) for share in (ratios or "8:1:1").split(":"))
    except ValueError:
        shares = ()
    if len(shares) != 3:
        raise InputError("--ratios", repr(ratios), "three shares train:valid:test, such as 8:1:1")
    return SplitSpec(by=cast(Protocol, by or "user"), ratios=shares, seed=seed or 0)


def parse_size(text: str) -> int:
    """A number of bytes such as 4096, 500M, 4G or 1.5GiB, in powers of 1,024.

    Raises:
        InputError: anything else.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", text.strip().lower())
    if match is None:
        raise InputError("--memory-limit", repr(text), "a size such as 500M or 4G")
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2] or " "))
