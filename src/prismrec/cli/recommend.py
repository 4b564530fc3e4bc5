"""`prismrec recommend`: ranked items for known users of a finished run."""

import json
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prismrec.cli.evaluate import RunFolder, load
from prismrec.cli.output import csv_ready, json_ready, write_table
from prismrec.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from prismrec.runs import Run

_SUFFIXES = (".csv", ".json", ".parquet")
_RANKING = ["user", "rank", "item", "score"]


def recommend(
    run: RunFolder,
    user: Annotated[list[str] | None, typer.Option(help="A user's id; may be repeated.", show_default=False)] = None,
    everyone: Annotated[bool, typer.Option("--all", help="For all users.")] = False,
    k: Annotated[int, typer.Option("-k", help="Items per user.")] = 10,
    columns: Annotated[
        str | None,
        typer.Option(help="Columns of the item table to add, separated by commas, or 'all'.", show_default=False),
    ] = None,
    cold_users: Annotated[
        str,
        typer.Option(help="For users without a training interaction: popular (popular items) or refuse (an error)."),
    ] = "popular",
    out: Annotated[
        Path | None, typer.Option(help="Write a .csv, .json or .parquet file instead.", show_default=False)
    ] = None,
    raw_csv: Annotated[
        bool, typer.Option("--raw-csv", help="Do not put an apostrophe before CSV cells that start with = + - or @.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Recommend items to known users, without the items that they have interacted with."""
    _check_options(run, user, everyone=everyone, cold_users=cold_users, out=out)
    from prismrec.files import replacing

    finished = load(run)
    users = None if everyone else user
    ranked = finished.recommend_all(users, k, cold_users="refuse" if cold_users == "refuse" else "popular")
    for_people = not (everyone or as_json or out is not None)
    table = ranked.select(_RANKING + _chosen(columns, ranked, for_people=for_people))
    _note_short_lists(finished, users, table)
    if (everyone and out is None and not as_json) or (out is not None and out.suffix == ".csv"):
        table, escaped = csv_ready(table, escape_formulas=not raw_csv)
        if escaped:
            _note(f"put an apostrophe before {escaped:,} cells that start with = + - or @; --raw-csv does not")
    if out is not None:
        with replacing(out) as path:
            write_table(table, path, out.suffix)
        typer.echo(f"wrote {out}: {table['user'].n_unique():,} users, {len(table):,} rows", err=as_json)
    elif as_json:
        lists = table.partition_by("user", as_dict=True, include_key=False, maintain_order=True)
        rows = {str(key[0]): json_ready(part.to_dicts()) for key, part in lists.items()}
        typer.echo(json.dumps(rows, ensure_ascii=False))
    elif everyone:
        typer.echo(table.write_csv(), nl=False)
    else:
        show(table)


def _check_options(run: Path, user: list[str] | None, *, everyone: bool, cold_users: str, out: Path | None) -> None:
    if bool(user) == everyone:
        raise InputError("--user", "both --user and --all" if everyone else "no user", "either --user ID or --all")
    if out is not None and out.suffix not in _SUFFIXES:
        raise InputError("--out", repr(str(out)), f"a file name ending in {', '.join(_SUFFIXES)}")
    if cold_users not in ("popular", "refuse"):
        raise InputError("--cold-users", repr(cold_users), "popular or refuse")
    if out is not None and run.resolve() == out.resolve().parent:
        raise InputError("--out", repr(str(out)), "a file outside the run directory")


def _chosen(columns: str | None, table: "pl.DataFrame", *, for_people: bool) -> list[str]:
    """The columns of the item table to show; by default a title for people and none in data.

    Raises:
        InputError: a column is unknown.
    """
    available = [name for name in table.columns if name not in _RANKING]
    if columns is None:
        return [name for name in available if for_people and name.lower() == "title"]
    if columns == "all":
        return available
    chosen = [name.strip() for name in columns.split(",")]
    for name in chosen:
        if name not in available:
            known = ", ".join(available) or "none: the data set has no item table"
            raise InputError("--columns", repr(name), f"columns of the item table ({known})")
    return chosen


def _note_short_lists(run: "Run", users: list[str] | None, table: "pl.DataFrame") -> None:
    """Say which users got popular items, and which got nothing."""
    cold = run.cold_users(users)
    if cold and run.manifest.model != "most-popular":
        _note(f"{_some(cold)} without a training interaction: the most popular items")
    asked = run.users.ids.to_list() if users is None else users
    served = set(table["user"])
    empty = [user for user in asked if user not in served]
    if empty:
        _note(f"{_some(empty)} without an item left to recommend")


def _some(users: Sequence[Hashable]) -> str:
    return f"user {users[0]!r}" if len(users) == 1 else f"{len(users):,} users, such as {users[0]!r},"


def _note(text: str) -> None:
    typer.echo(f"note: {text}", err=True)


def show(table: "pl.DataFrame") -> None:
    """Print lists for people, one table per user."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    columns = [name for name in table.columns if name != "user"]
    for (user,), rows in table.partition_by("user", as_dict=True, maintain_order=True).items():
        shown = Table(title=escape(f"for {user}"), title_justify="left")
        for name in columns:
            shown.add_column(escape(name), overflow="fold", no_wrap=name == "item" and not console.is_terminal)
        for row in rows.select(columns).iter_rows():
            shown.add_row(*[f"{value:.4f}" if isinstance(value, float) else escape(str(value)) for value in row])
        console.print(shown)
