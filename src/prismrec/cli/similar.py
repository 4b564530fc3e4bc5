"""`prismrec similar`: the items most similar to an item, by the model or by a modality."""

from typing import Annotated

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
)
from prismrec.cli.lists import Out, RawCsv, check_out, chosen_columns, print_notes, write_or_print
from prismrec.cli.options import AsJson


def similar(
    run: RunFolder,
    items: Annotated[list[str], typer.Argument(help="Ids of items.", show_default=False)],
    by: Annotated[str, typer.Option(help="model, or a modality such as image.")] = "model",
    k: ListLength = 10,
    exclude: Exclude = None,
    candidates: Candidates = None,
    where: Where = None,
    at_most: AtMost = None,
    newest: Newest = None,
    diversity: Diversity = 0.0,
    columns: Columns = None,
    exact: Exact = False,
    out: Out = None,
    raw_csv: RawCsv = False,
    as_json: AsJson = False,
) -> None:
    """Find similar items, by the vectors of the model or by the features of a modality."""
    check_out(run, out)
    import polars as pl

    from prismrec.runs.tables import lists_table

    filters = parse_filters(exclude, candidates, where, at_most, newest, diversity)
    finished = load(run, exact=exact)
    shown = chosen_columns(finished, columns, for_people=not (as_json or out is not None))
    owners = pl.Series("similar_to", items)
    lists = finished.retriever.similar(items, k, by, filters)
    print_notes(finished, lists, owners)
    table = lists_table(lists, owners, finished.retriever, shown)
    write_or_print(table, out, raw_csv=raw_csv, as_json=as_json, plain=False)
