"""Tables that more than one command prints."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table


def metrics_table(title: str, metrics: Mapping[str, float]) -> None:
    """Metrics as rows, cut-offs as columns, from keys such as "recall@20"."""
    names = list(dict.fromkeys(key.partition("@")[0] for key in metrics))
    cutoffs = list(dict.fromkeys(key.partition("@")[2] for key in metrics))
    table = Table(title, *(f"@{cutoff}" for cutoff in cutoffs))
    for column in table.columns[1:]:
        column.justify = "right"
    for name in names:
        table.add_row(name, *(f"{metrics[f'{name}@{cutoff}']:.4f}" for cutoff in cutoffs))
    Console().print(table)
