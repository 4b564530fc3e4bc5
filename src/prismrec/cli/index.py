"""`prismrec index`: build an approximate index of the items of a large run."""

from typing import TYPE_CHECKING, Annotated

import typer

from prismrec.cli.evaluate import RunFolder, load
from prismrec.cli.options import AsJson, print_note

if TYPE_CHECKING:
    from prismrec.runs import SearchRecord

_RECALL_HELP = "Share of the exact best 100 items that a search should find."


def index(
    run: RunFolder,
    recall: Annotated[float, typer.Option(help=_RECALL_HELP)] = 0.97,
    as_json: AsJson = False,
) -> None:
    """Build an index that makes recommend, similar and serve faster for large catalogues."""
    from prismrec.retrieval.indexed_search import LEAST_ITEMS
    from prismrec.runs import build_index

    finished = load(run)
    record = build_index(finished, recall)
    if as_json:
        typer.echo(record.model_dump_json(exclude={"score": {"file"}, "similar": {"file"}}))
        return
    searches = {"recommend": record.score, "similar": record.similar}
    for name, search in searches.items():
        _report(name, search)
    if len(finished.items) < LEAST_ITEMS:
        print_note(f"runs of fewer than {LEAST_ITEMS:,} items are searched exactly, without the index")
        return
    for name, search in searches.items():
        if not search.used:
            reason = "a query would have to read a large part of the lists"
            print_note(f"{name} searches exactly, without the index: {reason}")


def _report(name: str, record: "SearchRecord") -> None:
    typer.echo(
        f"{name}: recall@{record.k} {record.recall:.3f}; {record.milliseconds:.2f} ms per query, "
        f"exact {record.exact_milliseconds:.2f} ms; {record.probes:,} of {record.lists:,} lists read; "
        f"{record.file.size / 1e6:,.0f} MB, built in {record.seconds:.1f} s"
    )
