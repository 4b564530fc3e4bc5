"""`prismrec data`: describe a data set, split it, convert it to another layout."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.table import Table

from prismrec.data import ColumnNames, Dataset, SplitSpec, load, write_mmrec, write_table
from prismrec.data.split import SPLIT_NAMES, Protocol
from prismrec.errors import InputError

app = typer.Typer(help="Describe, split and convert data sets.", no_args_is_help=True)

Source = Annotated[Path, typer.Argument(help="A folder, or the file of interactions in it.", show_default=False)]
Format = Annotated[
    str | None,
    typer.Option("--format", help="table, mmrec, recbole or lattice; recognised if not given.", show_default=False),
]
By = Annotated[
    str | None,
    typer.Option(
        help="label, user, overall, last, time or cold-items; if not given, label where the file has labels, "
        "else user.",
        show_default=False,
    ),
]
Ratios = Annotated[str | None, typer.Option(help="Shares train:valid:test; 8:1:1 if not given.", show_default=False)]
Seed = Annotated[int | None, typer.Option(help="Of a random split; 0 if not given.", show_default=False)]
Fill = Annotated[str, typer.Option(help="Features of items that lack a modality: mean or zero.")]
KCore = Annotated[int, typer.Option(help="Keep users and items with at least this many interactions.")]
MemoryLimit = Annotated[
    str | None, typer.Option(help="Refuse larger files, such as 500M or 4G (powers of 1,024).", show_default=False)
]
Modality = Annotated[
    list[str] | None, typer.Option(help="Read only this modality; may be repeated.", show_default=False)
]
UserColumn = Annotated[str | None, typer.Option(help="Column with user ids.", show_default=False)]
ItemColumn = Annotated[str | None, typer.Option(help="Column with item ids.", show_default=False)]
TimeColumn = Annotated[str | None, typer.Option(help="Column with timestamps.", show_default=False)]
SplitColumn = Annotated[str | None, typer.Option(help="Column with split labels.", show_default=False)]
NpyOrder = Annotated[
    str | None,
    typer.Option(help="'items': row i of features/*.npy belongs to row i of the item table.", show_default=False),
]
Out = Annotated[Path, typer.Option("--out", help="A new or empty folder to write to.", show_default=False)]


@app.command()
def describe(
    source: Source,
    layout: Format = None,
    by: By = None,
    ratios: Ratios = None,
    seed: Seed = None,
    fill: Fill = "mean",
    k_core: KCore = 0,
    modality: Modality = None,
    user_column: UserColumn = None,
    item_column: ItemColumn = None,
    time_column: TimeColumn = None,
    split_column: SplitColumn = None,
    npy_order: NpyOrder = None,
    memory_limit: MemoryLimit = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Read a data set, check all of it, and say what is in it."""
    columns = ColumnNames(user_column, item_column, time_column, split_column)
    dataset = read(
        source, layout, split_spec(by, ratios, seed), fill, k_core, modality, columns, npy_order, memory_limit
    )
    summary = summarise(dataset)
    if as_json:
        typer.echo(json.dumps(summary, ensure_ascii=False))
    else:
        _show(summary)


@app.command()
def split(
    source: Source,
    out: Out,
    layout: Format = None,
    by: By = None,
    ratios: Ratios = None,
    seed: Seed = None,
    k_core: KCore = 0,
    modality: Modality = None,
    user_column: UserColumn = None,
    item_column: ItemColumn = None,
    time_column: TimeColumn = None,
    split_column: SplitColumn = None,
    npy_order: NpyOrder = None,
    memory_limit: MemoryLimit = None,
) -> None:
    """Split a data set and write it in the tabular layout, with the split as a column."""
    columns = ColumnNames(user_column, item_column, time_column, split_column)
    dataset = read(
        source, layout, split_spec(by, ratios, seed), "mean", k_core, modality, columns, npy_order, memory_limit
    )
    write_table(dataset, out)
    _report_written(dataset, out)


@app.command()
def convert(
    source: Source,
    out: Out,
    to: Annotated[str, typer.Option(help="table or mmrec.", show_default=False)],
    layout: Format = None,
    fill: Fill = "mean",
    modality: Modality = None,
    user_column: UserColumn = None,
    item_column: ItemColumn = None,
    time_column: TimeColumn = None,
    split_column: SplitColumn = None,
    npy_order: NpyOrder = None,
    memory_limit: MemoryLimit = None,
) -> None:
    """Write a data set in another layout; its split stays, or is drawn as by `split` if it has none."""
    writers = {"table": write_table, "mmrec": write_mmrec}
    if to not in writers:
        raise InputError("--to", repr(to), f"one of: {', '.join(writers)}")
    columns = ColumnNames(user_column, item_column, time_column, split_column)
    dataset = read(source, layout, None, fill, 0, modality, columns, npy_order, memory_limit)
    writers[to](dataset, out)
    _report_written(dataset, out)


def read(
    source: Path,
    layout: str | None,
    spec: SplitSpec | None,
    fill: str,
    k_core: int,
    modalities: list[str] | None,
    columns: ColumnNames,
    npy_order: str | None,
    memory_limit: str | None,
) -> Dataset:
    """Load a data set from command-line words; `load` refuses those that it does not know.

    Raises:
        InputError: a word or a file that cannot be used.
    """
    return load(
        source,
        format=layout,
        split=spec,
        fill=cast(Any, fill),
        k_core=k_core,
        columns=columns,
        modalities=modalities or None,  # typer makes an absent list option empty
        npy_order=cast(Any, npy_order),
        memory_limit=None if memory_limit is None else parse_size(memory_limit),
    )


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


def _report_written(dataset: Dataset, out: Path) -> None:
    for note in dataset.notes:
        typer.echo(f"- {note}")
    typer.echo(f"wrote {out}: {len(dataset.train):,} train, {len(dataset.valid):,} valid, {len(dataset.test):,} test")
