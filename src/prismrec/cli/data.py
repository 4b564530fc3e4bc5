"""`prismrec data`: describe a data set, split it, convert it to another layout."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from prismrec.cli.source import SourceOptions, with_source
from prismrec.data import Dataset, write_mmrec, write_table
from prismrec.data.split import SPLIT_NAMES
from prismrec.errors import InputError

app = typer.Typer(help="Describe, split and convert data sets.", no_args_is_help=True)

Out = Annotated[Path, typer.Option("--out", help="A new or empty folder to write to.", show_default=False)]


@app.command()
@with_source
def describe(
    data: SourceOptions,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Read a data set, check all of it, and say what is in it."""
    summary = summarise(data.read())
    if as_json:
        typer.echo(json.dumps(summary, ensure_ascii=False))
    else:
        _show(summary)


@app.command()
@with_source
def split(data: SourceOptions, out: Out) -> None:
    """Split a data set and write it in the tabular layout, with the split as a column."""
    _write(data.read(), out, write_table)


@app.command()
@with_source
def convert(
    data: SourceOptions, out: Out, to: Annotated[str, typer.Option(help="table or mmrec.", show_default=False)]
) -> None:
    """Write a data set in another layout; its split stays, or is drawn as by `split` if it has none."""
    writers = {"table": write_table, "mmrec": write_mmrec}
    if to not in writers:
        raise InputError("--to", repr(to), f"one of: {', '.join(writers)}")
    _write(data.read(), out, writers[to])


def summarise(dataset: Dataset) -> dict[str, Any]:
    """The numbers that `describe --json` prints; `density` is the share of all U × I pairs."""
    splits = {name: getattr(dataset, name) for name in SPLIT_NAMES}
    interactions = sum(len(pairs) for pairs in splits.values())
    return {
        "name": dataset.name,
        "users": len(dataset.users),
        "items": len(dataset.items),
        "interactions": interactions,
        "density": interactions / (len(dataset.users) * len(dataset.items)),
        "splits": {
            name: {
                "interactions": len(pairs),
                "users": int((pairs.user_degrees > 0).sum()),
                "items": int((pairs.item_degrees > 0).sum()),
            }
            for name, pairs in splits.items()
        },
        "users_without_training": int((dataset.train.user_degrees == 0).sum()),
        "items_without_training": int((dataset.train.item_degrees == 0).sum()),
        "modalities": {
            name: {"width": values.shape[1], "missing": int((~dataset.present[name]).sum())}
            for name, values in dataset.features.items()
        },
        "catalog": [] if dataset.catalog is None else dataset.catalog.columns,
        "notes": list(dataset.notes),
        "fingerprint": dataset.fingerprint,
    }


def _show(summary: dict[str, Any]) -> None:
    console = Console()
    counts = Table("", "interactions", "users", "items", title=summary["name"], title_justify="left")
    for column in counts.columns[1:]:
        column.justify = "right"
    for name, part in summary["splits"].items():
        counts.add_row(name, *(f"{part[key]:,}" for key in ("interactions", "users", "items")))
    counts.add_section()
    counts.add_row("all", *(f"{summary[key]:,}" for key in ("interactions", "users", "items")))
    console.print(counts)
    console.print(
        f"density {summary['density']:.4%}; without a training interaction: "
        f"{summary['users_without_training']:,} users, {summary['items_without_training']:,} items"
    )
    if summary["modalities"]:
        modalities = Table("modality", "width", "items that lack it")
        for name, part in summary["modalities"].items():
            modalities.add_row(name, f"{part['width']:,}", f"{part['missing']:,}")
        console.print(modalities)
    else:
        console.print("no modalities")
    for note in summary["notes"]:
        console.print(f"- {note}", markup=False, highlight=False)


def _write(dataset: Dataset, out: Path, writer: Callable[[Dataset, Path], None]) -> None:
    writer(dataset, out)
    for note in dataset.notes:
        typer.echo(f"- {note}")
    typer.echo(f"wrote {out}: {len(dataset.train):,} train, {len(dataset.valid):,} valid, {len(dataset.test):,} test")
