"""Tables that several commands print."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from prismrec.errors import printable

if TYPE_CHECKING:
    from rich.table import Table

_WIDE = 1000
"""Columns of text in a pipe or a file, where no cell is cut to the width of a terminal."""


def literal(text: str) -> str:
    """Text that rich shows as it is: brackets are no markup, and control characters are escaped."""
    from rich.markup import escape

    return escape(printable(text))


def print_table(table: "Table") -> None:
    """Print a table; in a pipe or a file, no cell is cut."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(width=_WIDE)
    console.print(table)


def print_metrics(title: str, metrics: Mapping[str, float]) -> None:
    """Print metrics as rows and cut-offs as columns, from keys such as "recall@20"."""
    from rich.table import Table

    names = list(dict.fromkeys(key.partition("@")[0] for key in metrics))
    cutoffs = list(dict.fromkeys(key.partition("@")[2] for key in metrics))
    table = Table(literal(title), *[f"@{cutoff}" for cutoff in cutoffs])
    for column in table.columns[1:]:
        column.justify = "right"
    for name in names:
        table.add_row(name, *[f"{metrics[f'{name}@{cutoff}']:.4f}" for cutoff in cutoffs])
    print_table(table)
