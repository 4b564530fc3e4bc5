"""Options of `recommend` and `similar` that filter the items of a list."""

import csv
import re
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prismrec.errors import InputError

if TYPE_CHECKING:
    from prismrec.retrieval import Filters

ListLength = Annotated[int, typer.Option("-k", help="Items per list.")]
Exact = Annotated[bool, typer.Option("--exact", help="Search all items even if the run has an index.")]
Exclude = Annotated[
    list[str] | None, typer.Option(help="Id of an item to leave out; may be repeated.", show_default=False)
]
Candidates = Annotated[Path | None, typer.Option(help="List only items whose ids are in this file, one per line.")]
Where = Annotated[
    str | None, typer.Option(help="SQL condition over the item table: \"price < 20 and brand = 'Ines'\".")
]
AtMost = Annotated[
    list[str] | None,
    typer.Option(help="COLUMN=N: at most N items with the same value; may be repeated.", show_default=False),
]
Newest = Annotated[
    str | None,
    typer.Option(help="COLUMN,DATE,N: at least N items later than the date, if there are enough.", show_default=False),
]
Diversity = Annotated[float, typer.Option(help="Re-rank for variety: from 0 (by score) to 1.")]
Columns = Annotated[
    str | None,
    typer.Option(
        help="Columns of the item table to add, separated by commas, or 'all'. A name with a comma stands in double "
        "quotes.",
        show_default=False,
    ),
]

_QUOTED = 'and one with a comma in double quotes, as in CSV: "a,b",c'


def parse_filters(
    exclude: list[str] | None,
    candidates: Path | None,
    where: str | None,
    at_most: list[str] | None,
    newest: str | None,
    diversity: float,
) -> "Filters":
    """Filters from the values of the options.

    Raises:
        InputError: a value or the file cannot be read.
    """
    from prismrec.retrieval import Filters

    return Filters.of(
        exclude=exclude or (),
        candidates=None if candidates is None else _read_ids(candidates),
        where=where,
        at_most=dict([_parse_limit(text) for text in at_most or ()]),
        newest=None if newest is None else _parse_newest(newest),
        diversity=diversity,
    )


def parse_list(option: str, text: str, what: str) -> list[str]:
    """Values of an option, separated by commas; one that contains a comma stands in double quotes, as in CSV.

    Args:
        option: the option, for the error.
        text: what was given; an empty text has no value.
        what: what the values are, for the error, such as "ids".

    Raises:
        InputError: a value is empty, or the quotes are not those of CSV.
    """
    if not text:
        return []
    try:
        [values] = csv.reader([text], strict=True)
    except (csv.Error, ValueError) as error:  # ValueError: no line
        raise InputError(option, repr(text), f"{what} separated by commas, {_QUOTED}") from error
    if not all(values):
        raise InputError(option, f"an empty value in {text!r}", f"{what} separated by commas, {_QUOTED}")
    return values


def _is_count(text: str) -> bool:
    return re.fullmatch("[0-9]{1,9}", text) is not None


def _read_ids(path: Path) -> list[str]:
    try:
        if path.exists() and not path.is_file():  # reading a pipe would wait
            raise InputError(path, "no regular file", "a file with an item id on each line")
        return [line for line in path.read_text(encoding="utf-8-sig").split("\n") if line]
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or an impossible path
        reason = error.strerror if isinstance(error, OSError) else "text that is not UTF-8"
        raise InputError(path, reason or str(error), "a file with an item id on each line") from error


def _parse_limit(text: str) -> tuple[str, int]:
    column, _, number = text.rpartition("=")
    if not column or not _is_count(number):
        raise InputError("--at-most", repr(text), "COLUMN=N, such as brand=2")
    return column, int(number)


def _parse_newest(text: str) -> tuple[str, date, int]:
    column, _, rest = text.rpartition(",")[0].rpartition(",")
    number = text.rpartition(",")[2]
    try:
        time = datetime.fromisoformat(rest)
    except ValueError:
        time = None
    if not column or time is None or not _is_count(number):
        raise InputError("--newest", repr(text), "COLUMN,DATE,N, such as added,2026-01-31,3")
    return column, time, int(number)
