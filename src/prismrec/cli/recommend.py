"""`prismrec recommend`: ranked items for known users of a finished run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from prismrec.cli.evaluate import Run
from prismrec.errors import InputError
from prismrec.experiments.run import Run as FinishedRun
from prismrec.files import replacing

_WRITERS: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    ".csv": pl.DataFrame.write_csv,
    ".json": pl.DataFrame.write_json,
    ".parquet": pl.DataFrame.write_parquet,
}


def recommend(
    run: Run,
    user: Annotated[list[str] | None, typer.Option(help="A user's id; may be repeated.", show_default=False)] = None,
    everyone: Annotated[bool, typer.Option("--all", help="For all users.")] = False,
    k: Annotated[int, typer.Option("-k", help="Items per user.")] = 10,
    out: Annotated[
        Path | None, typer.Option(help="Write a .csv, .json or .parquet file instead.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Recommend items to known users; what a user has interacted with is left out."""
    if bool(user) == everyone:
        raise InputError("--user", "both --user and --all" if everyone else "no user", "either --user ID or --all")
    if out is not None and out.suffix not in _WRITERS:
        raise InputError("--out", repr(str(out)), f"a file name ending in {', '.join(_WRITERS)}")
    table = FinishedRun.load(run).recommend_all(None if everyone else user, k)
    if out is not None:
        with replacing(out) as path:
            _WRITERS[out.suffix](table, path)
        typer.echo(f"wrote {out}: {table['user'].n_unique():,} users, {len(table):,} rows", err=as_json)
    elif as_json:
        lists = table.partition_by("user", as_dict=True, include_key=False, maintain_order=True)
        typer.echo(json.dumps({str(key[0]): rows.to_dicts() for key, rows in lists.items()}, ensure_ascii=False))
    elif everyone:
        typer.echo(table.write_csv(), nl=False)
    else:
        show(table)


def show(table: pl.DataFrame) -> None:
    """Lists for people: rank, item, score and the title where the catalog has one."""
    columns = ["rank", "item", "score", *(name for name in ("title",) if name in table.columns)]
    for (user,), rows in table.partition_by("user", as_dict=True, maintain_order=True).items():
        shown = Table(*columns, title=f"for {user}", title_justify="left")
        for row in rows.select(columns).iter_rows():
            shown.add_row(*(f"{value:.4f}" if isinstance(value, float) else str(value) for value in row))
        Console().print(shown)
