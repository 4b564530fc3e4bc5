"""`prismrec data sources`, `fetch`, `import` and `pictures`: public data sets."""

import json
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prismrec.cli.options import AsJson, Quiet
from prismrec.cli.source import RATING_HELP, DataOptions, KCore, Ratios, SplitOrPlainSeed
from prismrec.errors import ParameterError

if TYPE_CHECKING:
    from prismrec.data.import_record import ImportRecord
    from prismrec.data.sources import Source

_NAME_HELP = "Name of the source, with its part if it has parts: ml-1m, amazon-2014:Baby."
_FROM_HELP = "Address of a folder with files of the same names, to use instead of the publisher's."
_BY_HELP = (
    "How to split: user, overall, last, time or cold-items. Without --by, --ratios and --seed, no split is written."
)
_PLAYS_HELP = "Keep interactions with at least this many plays."
_HOURS_HELP = "Keep interactions with at least this many hours."
_ALL_ITEMS_HELP = "Also write the items without an interaction."
_HISTORY_HELP = "Also import the clicks before the log begins (MIND)."

Name = Annotated[str, typer.Argument(metavar="SOURCE", help=_NAME_HELP, show_default=False)]
SomeName = Annotated[str | None, typer.Argument(metavar="SOURCE", help="A source to describe.", show_default=False)]
Files = Annotated[Path, typer.Argument(help="The folder with the files of the source.", show_default=False)]
FetchOut = Annotated[Path, typer.Option("--out", help="The folder for the files.", show_default=False)]
ImportOut = Annotated[Path, typer.Option("--out", help="A new or empty folder to write to.", show_default=False)]
Mirror = Annotated[str | None, typer.Option("--from", help=_FROM_HELP, show_default=False)]
By = Annotated[str | None, typer.Option("--by", help=_BY_HELP, show_default=False)]
MinRating = Annotated[float | None, typer.Option(help=RATING_HELP, show_default=False)]
MinPlays = Annotated[float | None, typer.Option(help=_PLAYS_HELP, show_default=False)]
MinHours = Annotated[float | None, typer.Option(help=_HOURS_HELP, show_default=False)]
Since = Annotated[str | None, typer.Option(help="Keep interactions from this day on (UTC).", show_default=False)]
Until = Annotated[str | None, typer.Option(help="Keep interactions before this day (UTC).", show_default=False)]
AllItems = Annotated[bool, typer.Option("--all-items", help=_ALL_ITEMS_HELP)]
History = Annotated[bool, typer.Option("--history", help=_HISTORY_HELP)]
NoFeatures = Annotated[bool, typer.Option("--no-features", help="Leave out the features of the source.")]
NoPictures = Annotated[bool, typer.Option("--no-pictures", help="Leave out the pictures of the source.")]
Imported = Annotated[Path, typer.Argument(help="A folder that `import` wrote.", show_default=False)]
Column = Annotated[str, typer.Option("--column", help="The column with the addresses.")]
Workers = Annotated[int, typer.Option("--workers", help="Requests at a time.", min=1)]


def sources(name: SomeName = None, as_json: AsJson = False) -> None:
    """List the public data sets that can be downloaded and imported, or describe one."""
    from prismrec.data.sources import all_sources, find_source

    if name is not None:
        source, part = find_source(name)
        facts = _describe(source, part)
        typer.echo(json.dumps(facts, ensure_ascii=False) if as_json else "\n".join(_lines(facts)))
        return
    described = {source.name: _describe(source, None) for source in all_sources()}
    if as_json:
        typer.echo(json.dumps(described, ensure_ascii=False))
    else:
        _show_all(described)


def fetch(name: Name, out: FetchOut, mirror: Mirror = None, quiet: Quiet = False) -> None:
    """Download the files of a public data set. Repeat the command to continue an interrupted download."""
    from prismrec.cli.progress import DownloadLines
    from prismrec.data.sources import fetch as fetch_files
    from prismrec.data.sources import find_source

    source, _ = find_source(name)
    with DownloadLines(f"{source.title}: {source.licence} {source.page}", quiet=quiet) as lines:
        paths = fetch_files(name, out, mirror=mirror, progress=lines.report)
    for path in paths:
        typer.echo(f"{path}: {path.stat().st_size:,} bytes")
    typer.echo(f"Import them: prismrec data import {name} {out} --out FOLDER")


def import_(
    name: Name,
    folder: Files,
    out: ImportOut,
    min_rating: MinRating = None,
    min_plays: MinPlays = None,
    min_hours: MinHours = None,
    since: Since = None,
    until: Until = None,
    k_core: KCore = 0,
    by: By = None,
    ratios: Ratios = None,
    split_seed: SplitOrPlainSeed = None,
    all_items: AllItems = False,
    history: History = False,
    no_features: NoFeatures = False,
    no_pictures: NoPictures = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Read the files of a public data set, and write them as a folder that `train` reads."""
    from prismrec.cli.progress import ImportLines
    from prismrec.data.sources import ImportOptions, import_source

    options = ImportOptions(
        min_rating=min_rating,
        min_plays=min_plays,
        min_hours=min_hours,
        since=_parse_day("since", since),
        until=_parse_day("until", until),
        k_core=k_core,
        split=DataOptions(by=by, ratios=ratios, split_seed=split_seed).split,
        all_items=all_items,
        history=history,
        features=not no_features,
        pictures=not no_pictures,
    )
    with ImportLines(quiet=quiet or as_json) as lines:
        record = import_source(name, folder, out, options, progress=lines.report)
    if as_json:
        typer.echo(json.dumps(asdict(record), ensure_ascii=False))
    else:
        _report(record, out, quiet=quiet)


def pictures(
    folder: Imported,
    column: Column = "image_url",
    workers: Workers = 8,
    quiet: Quiet = False,
) -> None:
    """Download the pictures whose addresses are in the item table of an imported data set.

    They are stored in FOLDER/images, with their paths in the column `image` of the item table. Repeat the command to
    continue an interrupted download.
    """
    from prismrec.cli.progress import PictureLines
    from prismrec.data.sources import fetch_pictures

    with PictureLines(quiet=quiet) as lines:
        counts = fetch_pictures(folder, column=column, workers=workers, progress=lines.report)
    typer.echo(
        f"{counts.downloaded:,} pictures downloaded, {counts.present:,} already there, {counts.failed:,} failed, "
        f"{counts.without_address:,} items have no address"
    )
    if counts.failed:
        typer.echo(f"{folder / 'images' / 'failed.csv'} lists the failures")


def _parse_day(parameter: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ParameterError(parameter, repr(text), "a day such as 2016-01-31") from None


def _report(record: "ImportRecord", out: Path, *, quiet: bool) -> None:
    if not quiet:
        for note in record.notes:
            typer.echo(f"- {note}")
        for step in record.steps:
            typer.echo(f"- {step.name}: {step.interactions:,} interactions")
    last = record.steps[-1].interactions
    typer.echo(f"wrote {out}: {record.users:,} users, {record.items:,} items, {last:,} interactions")


def _describe(source: "Source", part: str | None) -> dict[str, Any]:
    chosen = part if part is not None or not source.parts else source.parts[0]
    return {
        "name": source.check_part(part),
        "title": source.title,
        "licence": source.licence,
        "page": source.page,
        "beside each interaction": source.measure,
        "parts": list(source.parts) if part is None else [],
        "files": [asdict(each) for each in source.downloads(chosen)],
        "by hand": source.by_hand or None,
        "layout": source.layout,
    }


def _lines(facts: dict[str, Any]) -> list[str]:
    lines = [facts["title"], f"licence: {facts['licence']}", f"page: {facts['page']}"]
    if facts["beside each interaction"]:
        lines.append(f"value of an interaction: {facts['beside each interaction']}")
    if facts["parts"]:
        lines.append(f"parts: {', '.join(facts['parts'])}")
        lines.append(f"files, here of {facts['name']}:{facts['parts'][0]}:")
    elif facts["files"]:
        lines.append("files:")
    for each in facts["files"]:
        known = [f"{each['size']:,} bytes"] if each["size"] else []
        known += [each["checksum"]] if each["checksum"] else []
        lines.append("  " + "  ".join([each["url"], *known]))
    if facts["by hand"]:
        lines.append(f"download by hand: {facts['by hand']}")
    if facts["layout"]:
        lines.append(f"`prismrec train` reads its layout ({facts['layout']}) without an import.")
    return lines


def _show_all(described: dict[str, dict[str, Any]]) -> None:
    from rich.table import Table

    from prismrec.cli.tables import name_column, print_table

    table = Table(name_column("name", described), "title", "value", "parts", "download")
    for name, facts in described.items():
        parts = f"{len(facts['parts'])}" if facts["parts"] else ""
        how = "by hand" if facts["by hand"] else "fetch"
        table.add_row(name, facts["title"], facts["beside each interaction"] or "", parts, how)
    print_table(table)
