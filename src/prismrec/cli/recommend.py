"""`prismrec recommend`: ranked items for users and visitors, or for all users of a run."""

from typing import TYPE_CHECKING, Annotated, cast

import typer

from prismrec.cli.evaluate import RunFolder, load
from prismrec.cli.filters import (
    AtMost,
    Candidates,
    Columns,
    Diversity,
    Exact,
    Exclude,
    ListLength,
    Newest,
    Where,
    parse_filters,
    parse_list,
)
from prismrec.cli.lists import (
    Out,
    RawCsv,
    check_out,
    chosen_columns,
    print_notes,
    write_or_print,
)
from prismrec.cli.options import ENGINE_HELP, AsJson, parse_engine
from prismrec.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from prismrec.retrieval import Unknown
    from prismrec.runs import Run
    from prismrec.runs.bulk import BulkRequest

Users = Annotated[list[str] | None, typer.Option("--user", help="A user's id; may be repeated.", show_default=False)]
Histories = Annotated[
    list[str] | None,
    typer.Option(
        "--history",
        help="Items that a visitor clicked, separated by commas; or further clicks of --user. An id with a comma "
        "stands in double quotes, as in CSV: '\"a,b\",c'. May be repeated.",
        show_default=False,
    ),
]
Seen = Annotated[bool, typer.Option("--seen", help="Also list items that the user has interacted with.")]
UnknownPolicy = Annotated[
    str | None,
    typer.Option(
        help="What users and histories get if the run knows nothing about them: popular (popular items) or refuse (an "
        "error). By default, users without a training interaction get popular items, and unknown ids are errors.",
        show_default=False,
    ),
]
Shard = Annotated[
    str | None, typer.Option(help="With --all: compute only share i of n, as i/n, such as 1/4.", show_default=False)
]
EngineName = Annotated[str, typer.Option(help=f"With --all: {ENGINE_HELP}")]


def recommend(
    run: RunFolder,
    user: Users = None,
    history: Histories = None,
    everyone: Annotated[bool, typer.Option("--all", help="Recommend to all users.")] = False,
    k: ListLength = 10,
    seen: Seen = False,
    exclude: Exclude = None,
    candidates: Candidates = None,
    where: Where = None,
    at_most: AtMost = None,
    newest: Newest = None,
    diversity: Diversity = 0.0,
    unknown: UnknownPolicy = None,
    columns: Columns = None,
    exact: Exact = False,
    out: Out = None,
    shard: Shard = None,
    engine: EngineName = "local",
    raw_csv: RawCsv = False,
    as_json: AsJson = False,
) -> None:
    """Recommend items to users of a run, or to visitors with a few clicks."""
    if bool(user or history) == everyone:
        found = "--all beside --user or --history" if everyone else "no user"
        raise InputError("--user", found, "--user ID, --history ITEM,ITEM or --all")
    if (shard or engine != "local") and not (everyone and out):
        raise InputError("--shard" if shard else "--engine", "no --all or no --out", "--all and --out")
    check_out(run, out)
    from prismrec.runs.bulk import BulkRequest

    filters = parse_filters(exclude, candidates, where, at_most, newest, diversity)
    finished = load(run, exact=exact)
    for_people = not (everyone or as_json or out is not None)
    request = BulkRequest(k, filters, seen, _policy(unknown), chosen_columns(finished, columns, for_people=for_people))
    if everyone and out is not None:
        from prismrec.cli.bulk import write_all

        write_all(finished, out, request, shard, parse_engine(engine) or "local", raw_csv=raw_csv, quiet=as_json)
        return
    histories = None if history is None else [parse_list("--history", each, "ids") for each in history]
    write_or_print(_table(finished, user, histories, request), out, raw_csv=raw_csv, as_json=as_json, plain=everyone)


def _policy(text: str | None) -> "Unknown | None":
    """The value of --unknown.

    Raises:
        InputError: it is not known.
    """
    if text not in (None, "popular", "refuse"):
        raise InputError("--unknown", repr(text), "popular or refuse")
    return cast("Unknown | None", text)


def _table(
    run: "Run", users: list[str] | None, histories: list[list[str]] | None, request: "BulkRequest"
) -> "pl.DataFrame":
    """The lists, with notes on standard error."""
    from prismrec.runs.owners import find_owners
    from prismrec.runs.tables import lists_table

    owners, audience, _ = find_owners(run.retriever, users, histories, request.unknown)
    lists = run.retriever.recommend(audience, request.k, request.filters, seen=request.seen, unknown=request.unknown)
    print_notes(run, lists, owners)
    return lists_table(lists, owners, run.retriever, request.columns)
