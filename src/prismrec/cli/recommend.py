"""`prismrec recommend`: ranked items for known users of a finished run."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prismrec.cli.evaluate import RunFolder
from prismrec.errors import InputError

if TYPE_CHECKING:
    import polars as pl

_SUFFIXES = (".csv", ".json", ".parquet")


def recommend(
    run: RunFolder,
    user: Annotated[list[str] | None, typer.Option(help="A user's id; may be repeated.", show_default=False)] = None,
    everyone: Annotated[bool, typer.Option("--all", help="For all users.")] = False,
    k: Annotated[int, typer.Option("-k", help="Items per user.")] = 10,
    out: Annotated[
        Path | None, typer.Option(help="Write a .csv, .json or .parquet file instead.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Recommend items to known users, without the items that they have interacted with."""
    if bool(user) == everyone:
        raise InputError("--user", "both --user and --all" if everyone else "no user", "either --user ID or --all")
    if out is not None and out.suffix not in _SUFFIXES:
        raise InputError("--out", repr(str(out)), f"a file name ending in {', '.join(_SUFFIXES)}")
    from prismrec.runs import load_run

    table = load_run(run).recommend_all(None if everyone else user, k)
    if out is not None:
        _write(table, out)
        typer.echo(f"wrote {out}: {table['user'].n_unique():,} users, {len(table):,} rows", err=as_json)
    elif as_json:
        lists = table.partition_by("user", as_dict=True, include_key=False, maintain_order=True)
        typer.echo(json.dumps({str(key[0]): rows.to_dicts() for key, rows in lists.items()}, ensure_ascii=False))
    elif everyone:
        typer.echo(table.write_csv(), nl=False)
    else:
        show(table)


def _write(table: "pl.DataFrame", out: Path) -> None:
    from prismrec.files import replacing

    with replacing(out) as path:
        if out.suffix == ".csv":
            table.write_csv(path)
        elif out.suffix == ".json":
            table.write_json(path)
        else:
            table.write_parquet(path)


def show(table: "pl.DataFrame") -> None:
    """Print lists for people: rank, item, score, and the title if the catalog has one."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    columns = ["rank", "item", "score"]
    if "title" in table.columns:
        columns.append("title")
    for (user,), rows in table.partition_by("user", as_dict=True, maintain_order=True).items():
        shown = Table(*columns, title=escape(f"for {user}"), title_justify="left")
        for row in rows.select(columns).iter_rows():
            shown.add_row(*[f"{value:.4f}" if isinstance(value, float) else escape(str(value)) for value in row])
        Console().print(shown)
