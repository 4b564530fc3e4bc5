"""`prismrec data`: describe a data set, split it, convert it to another layout; download and import public ones."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prismrec.cli import sources
from prismrec.cli.options import AsJson
from prismrec.cli.source import DataOptions, Source, SplitOrPlainSeed, with_data_options
from prismrec.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from prismrec.data import Dataset
    from prismrec.data.quality import FeatureQuality
    from prismrec.types import Interactions

app = typer.Typer(help="Describe, split and convert data sets; download and import public ones.", no_args_is_help=True)
app.command("sources")(sources.sources)
app.command("fetch")(sources.fetch)
app.command("import")(sources.import_)
app.command("pictures")(sources.pictures)

Out = Annotated[Path, typer.Option("--out", help="A new or empty folder to write to.", show_default=False)]
To = Annotated[str, typer.Option("--to", help="Layout to write: table or mmrec.", show_default=False)]


@app.command()
@with_data_options(split_seed=SplitOrPlainSeed)
def describe(
    source: Source,
    as_json: AsJson = False,
    *,
    options: DataOptions,
) -> None:
    """Read a data set, check it completely, and print a summary."""
    dataset = options.read(source)
    summary = summarise(dataset)
    if as_json:
        typer.echo(json.dumps(asdict(summary), ensure_ascii=False))
    else:
        show(summary)


@app.command("split")
@with_data_options(split_seed=SplitOrPlainSeed)
def split_dataset(
    source: Source,
    out: Out,
    *,
    options: DataOptions,
) -> None:
    """Split a data set and write it in the layout `table`, with the split as a column."""
    from prismrec.data import write_table

    dataset = options.read(source)
    write_table(dataset, out)
    _report_written(dataset, out)


@app.command()
@with_data_options(split_seed=SplitOrPlainSeed)
def convert(
    source: Source,
    out: Out,
    to: To,
    *,
    options: DataOptions,
) -> None:
    """Write a data set in another layout, with its split. A data set without a split is split as by `data split`."""
    from prismrec.data import write_mmrec, write_table

    if to not in ("table", "mmrec"):
        raise InputError("--to", repr(to), "one of: table, mmrec")
    dataset = options.read(source)
    if to == "table":
        write_table(dataset, out)
    else:
        write_mmrec(dataset, out)
        for note in _lost_in_mmrec(dataset):
            typer.echo(f"! {note}")
    _report_written(dataset, out)


def _lost_in_mmrec(dataset: "Dataset") -> list[str]:
    """Facts that the layout of MMRec cannot store, as notes."""
    filled = [name for name, present in dataset.present.items() if not present.all()]
    lost = [f"{name}: the layout does not say which items lack it" for name in filled]
    return lost + [f"{name}: the layout does not say how features were made" for name in dataset.encodings]


@dataclass(frozen=True)
class SplitSummary:
    """One split: the number of interactions, and the numbers of users and items that have one in this split."""

    interactions: int
    users: int
    items: int


@dataclass(frozen=True)
class ModalitySummary:
    """One modality: the width of its features, and the number of items that lack it."""

    width: int
    missing: int


@dataclass(frozen=True)
class Summary:
    """What `describe --json` prints.

    Attributes:
        name: name of the data set.
        users: number of users, U.
        items: number of items, I.
        interactions: number of interactions in all splits, E.
        density: E / (U I).
        splits: "train", "valid" and "test".
        users_without_training: number of users without a training interaction.
        items_without_training: number of items without a training interaction.
        modalities: by name.
        catalog: columns of the item table; empty if there is none.
        quality: what the features of a modality look like, by name.
        encoders: the encoders of the modalities that `prismrec features` made.
        warnings: what may be wrong with the features.
        notes: what the reader counted and decided.
        fingerprint: hash of ids, interactions and features.
    """

    name: str
    users: int
    items: int
    interactions: int
    density: float
    splits: dict[str, SplitSummary]
    users_without_training: int
    items_without_training: int
    modalities: dict[str, ModalitySummary]
    catalog: list[str]
    quality: dict[str, "FeatureQuality"]
    encoders: dict[str, str]
    warnings: list[str]
    notes: tuple[str, ...]
    fingerprint: str


def summarise(dataset: "Dataset") -> Summary:
    """The summary of a data set."""
    from prismrec.data.quality import describe_features, warnings_about

    users = len(dataset.users)
    items = len(dataset.items)
    interactions = len(dataset.train) + len(dataset.valid) + len(dataset.test)
    splits = {
        "train": _summarise_split(dataset.train),
        "valid": _summarise_split(dataset.valid),
        "test": _summarise_split(dataset.test),
    }
    modalities = {}
    qualities = {}
    for name, values in dataset.features.items():
        missing = int((~dataset.present[name]).sum())
        modalities[name] = ModalitySummary(width=values.shape[1], missing=missing)
        qualities[name] = describe_features(values, dataset.present[name])
    return Summary(
        name=dataset.name,
        users=users,
        items=items,
        interactions=interactions,
        density=interactions / (users * items),
        splits=splits,
        users_without_training=users - splits["train"].users,
        items_without_training=items - splits["train"].items,
        modalities=modalities,
        catalog=[] if dataset.catalog is None else dataset.catalog.columns,
        quality=qualities,
        encoders={name: encoding.manifest.encoder for name, encoding in dataset.encodings.items()},
        warnings=warnings_about(qualities),
        notes=dataset.notes,
        fingerprint=dataset.fingerprint,
    )


def _summarise_split(pairs: "Interactions") -> SplitSummary:
    users = int((pairs.user_degrees > 0).sum())
    items = int((pairs.item_degrees > 0).sum())
    return SplitSummary(interactions=len(pairs), users=users, items=items)


def show(summary: Summary) -> None:
    """Print a summary as tables."""
    from rich.console import Console

    from prismrec.cli.tables import print_table

    console = Console()
    print_table(_count_table(summary))
    console.print(
        f"density {summary.density:.4%}; without a training interaction: "
        f"{summary.users_without_training:,} users, {summary.items_without_training:,} items",
        soft_wrap=True,
    )
    if summary.modalities:
        print_table(_modality_table(summary.modalities))
    else:
        console.print("no modalities")
    for name in summary.modalities:
        console.print(_quality_line(name, summary), markup=False, highlight=False, soft_wrap=True)
    for warning in summary.warnings:
        console.print(f"! {warning}", markup=False, highlight=False, soft_wrap=True)
    for note in summary.notes:
        console.print(f"- {note}", markup=False, highlight=False, soft_wrap=True)


def _count_table(summary: Summary) -> "Table":
    from rich.table import Table

    from prismrec.cli.tables import literal

    table = Table("", title=literal(summary.name), title_justify="left")
    for header in ("interactions", "users", "items"):
        table.add_column(header, justify="right")
    for name, part in summary.splits.items():
        table.add_row(name, f"{part.interactions:,}", f"{part.users:,}", f"{part.items:,}")
    table.add_section()
    table.add_row("all", f"{summary.interactions:,}", f"{summary.users:,}", f"{summary.items:,}")
    return table


def _modality_table(modalities: dict[str, ModalitySummary]) -> "Table":
    from rich.table import Table

    from prismrec.cli.tables import literal

    table = Table("modality", "width", "items that lack it")
    for name, part in modalities.items():
        table.add_row(literal(name), f"{part.width:,}", f"{part.missing:,}")
    return table


def _quality_line(name: str, summary: Summary) -> str:
    quality = summary.quality[name]
    lengths = f"{quality.median:,.4g} ({quality.shortest:,.4g} to {quality.longest:,.4g})"
    counts = f"{quality.duplicates:,} duplicates, {quality.constant_columns:,} constant columns"
    encoder = f", by {summary.encoders[name]}" if name in summary.encoders else ""
    return f"{name}: length of rows {lengths}, spread {quality.spread:.0%}, {counts}{encoder}"


def _report_written(dataset: "Dataset", out: Path) -> None:
    for note in dataset.notes:
        typer.echo(f"- {note}")
    typer.echo(f"wrote {out}: {len(dataset.train):,} train, {len(dataset.valid):,} valid, {len(dataset.test):,} test")
