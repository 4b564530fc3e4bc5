"""Tables that several commands print."""

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from prismrec.errors import printable

if TYPE_CHECKING:
    from rich.table import Column, Table

    from prismrec.evaluation import GroupMeans

_WIDEST = 10**6
"""Columns of text of the widest table in a pipe or a file."""


def literal(text: str) -> str:
    """Text that rich shows as it is: brackets are no markup, and control characters are escaped."""
    from rich.markup import escape

    return escape(printable(text))


def name_column(header: str, names: Iterable[str]) -> "Column":
    """A column of names to type again, which stay whole on a narrow terminal."""
    from rich.cells import cell_len
    from rich.table import Column

    return Column(header, min_width=max(map(cell_len, names), default=0))


def print_table(table: "Table", *, markup: bool = True) -> None:
    """Print a table without cutting a cell.

    In a pipe or a file, the table is as wide as its cells, so that each row is one line. On a terminal, and where the
    variable COLUMNS sets a width, long cells continue on the next line.

    Args:
        table: the table.
        markup: whether brackets in its cells are markup of rich.
    """
    from rich.console import Console

    console = Console()
    for column in table.columns:
        column.overflow = "fold"
        column.no_wrap = column.no_wrap and console.is_terminal  # a cell that may not wrap is cut
    if not console.is_terminal and "COLUMNS" not in os.environ:
        width = console.measure(table, options=console.options.update(width=_WIDEST, markup=markup)).maximum
        console = Console(width=width)
    console.print(table, markup=markup)


def print_metrics(title: str, metrics: Mapping[str, float]) -> None:
    """Print metrics as rows and cut-offs as columns, from keys such as "recall@20"."""
    from rich.table import Table

    names, cutoffs = _names_and_cutoffs(metrics)
    table = Table(literal(title), *[f"@{cutoff}" for cutoff in cutoffs])
    for column in table.columns[1:]:
        column.justify = "right"
    for name in names:
        table.add_row(name, *[f"{metrics[f'{name}@{cutoff}']:.4f}" for cutoff in cutoffs])
    print_table(table)


def print_groups(title: str, groups: Mapping[str, "GroupMeans"]) -> None:
    """Print one table for each cut-off, with groups as rows and metrics as columns."""
    from rich.table import Table

    names, cutoffs = _names_and_cutoffs(next(iter(groups.values())).means)
    for cutoff in cutoffs:
        table = Table(f"{title}, @{cutoff}", "users", *names)
        for column in table.columns[1:]:
            column.justify = "right"
        for label, group in groups.items():
            values = [f"{group.means[f'{name}@{cutoff}']:.4f}" for name in names]
            table.add_row(label, f"{group.num_users:,}", *values)
        print_table(table)


def _names_and_cutoffs(metrics: Iterable[str]) -> tuple[list[str], list[str]]:
    """The names and the cut-offs in keys such as "recall@20"."""
    pairs = [key.split("@") for key in metrics]
    return list(dict.fromkeys(name for name, _ in pairs)), list(dict.fromkeys(cutoff for _, cutoff in pairs))
