"""Output of ranked lists: on screen, as JSON, as CSV, to a file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prismrec.cli.filters import parse_list
from prismrec.cli.options import print_note
from prismrec.cli.output import csv_ready, json_ready, write_table
from prismrec.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from prismrec.retrieval import Lists
    from prismrec.runs import Run

_SUFFIXES = (".csv", ".json", ".parquet")

Out = Annotated[Path | None, typer.Option(help="Write a .csv, .json or .parquet file instead.", show_default=False)]
RawCsv = Annotated[
    bool, typer.Option("--raw-csv", help="Do not put an apostrophe before CSV cells that start with = + - or @.")
]


def check_out(run: Path, out: Path | None) -> None:
    """Check the name of the output file.

    Raises:
        InputError: it has an unknown suffix, or is inside the run directory.
    """
    from prismrec.files import require_outside

    if out is None:
        return
    if out.suffix not in _SUFFIXES:
        raise InputError("--out", repr(str(out)), f"a file name ending in {', '.join(_SUFFIXES)}")
    require_outside(run, out)


def chosen_columns(run: "Run", columns: str | None, *, for_people: bool) -> tuple[str, ...]:
    """The columns of the item table to show; by default a title for people and none in data."""
    from prismrec.retrieval.catalog import title_column

    available = [] if run.catalog is None else run.catalog.columns
    if columns is None:
        title = None if run.catalog is None or not for_people else title_column(run.catalog)
        return () if title is None else (title,)
    if columns == "all":
        return tuple(available)
    names = parse_list("--columns", columns, "columns")
    return tuple([name if name in available else name.strip() for name in names])


def print_notes(run: "Run", lists: "Lists", owners: "pl.Series") -> None:
    """Say on standard error which lists are short or contain popular items instead."""
    from prismrec.runs.tables import notes_on

    for note in notes_on(lists, owners, popular_by_design=run.manifest.model == "most-popular"):
        print_note(note)


def write_or_print(table: "pl.DataFrame", out: Path | None, *, raw_csv: bool, as_json: bool, plain: bool) -> None:
    """Write lists to a file, or print them: as JSON, as plain CSV, or for people.

    Args:
        table: lists; the first column says whom each row is for.
        out: a file to write instead.
        raw_csv: whether CSV cells that a spreadsheet would run stay as they are.
        as_json: whether standard output is for JSON.
        plain: whether to print CSV.
    """
    from prismrec.files import replacing

    if out is not None:
        if out.suffix == ".csv":
            table = _safe_csv(table, raw_csv=raw_csv)
        with replacing(out) as path:
            write_table(table, path, out.suffix)
        kinds = {"user": "users", "history": "histories"}.get(table.columns[0], "items")
        typer.echo(f"wrote {out}: {table[:, 0].n_unique():,} {kinds}, {len(table):,} rows", err=as_json)
    elif as_json:
        parts = table.partition_by(table.columns[0], as_dict=True, include_key=False, maintain_order=True)
        rows = {str(key[0]): json_ready(part.to_dicts()) for key, part in parts.items()}
        typer.echo(json.dumps(rows, ensure_ascii=False))
    elif plain:
        typer.echo(_safe_csv(table, raw_csv=raw_csv).write_csv(), nl=False)
    else:
        show(table)


def _safe_csv(table: "pl.DataFrame", *, raw_csv: bool) -> "pl.DataFrame":
    """The table as CSV can hold it, with a note on escaped cells."""
    safe, escaped = csv_ready(table, escape_formulas=not raw_csv)
    if escaped:
        print_note(f"put an apostrophe before {escaped:,} cells that start with = + - or @; --raw-csv prevents it")
    return safe


def show(table: "pl.DataFrame") -> None:
    """Print lists for people, one table for each value of the first column."""
    from rich.table import Table

    from prismrec.cli.tables import literal, print_table

    owner, *columns = table.columns
    parts = table.partition_by(owner, as_dict=True, maintain_order=True)
    for (name,), rows in parts.items():
        headers = [literal(column) for column in columns]
        shown = Table(*headers, title=literal(_title(owner, name, len(parts))), title_justify="left")
        for row in rows.select(columns).iter_rows():
            shown.add_row(*[f"{value:.4f}" if isinstance(value, float) else literal(str(value)) for value in row])
        print_table(shown)


def _title(owner: str, name: object, count: int) -> str:
    """The title of the table of one owner, of `count` owners. Histories are counted from 1 here, from 0 in data."""
    if owner == "history":
        return "for this history" if count == 1 else f"for history {int(str(name)) + 1}"
    return f"similar to {name}" if owner == "similar_to" else f"for {name}"
