"""Tables that several commands print."""

from collections.abc import Mapping

from prismrec.errors import printable


def literal(text: str) -> str:
    """Text that rich shows as it is: brackets are no markup, and control characters are escaped."""
    from rich.markup import escape

    return escape(printable(text))


def print_metrics(title: str, metrics: Mapping[str, float]) -> None:
    """Print metrics as rows and cut-offs as columns, from keys such as "recall@20"."""
    from rich.console import Console
    from rich.table import Table

    names = list(dict.fromkeys(key.partition("@")[0] for key in metrics))
    cutoffs = list(dict.fromkeys(key.partition("@")[2] for key in metrics))
    table = Table(literal(title), *[f"@{cutoff}" for cutoff in cutoffs])
    for column in table.columns[1:]:
        column.justify = "right"
    for name in names:
        table.add_row(name, *[f"{metrics[f'{name}@{cutoff}']:.4f}" for cutoff in cutoffs])
    Console().print(table)
