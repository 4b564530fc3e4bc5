"""What papers report for the rows of a table."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from prismrec.experiments.tables.library import counts, reported_tables
from prismrec.experiments.tables.plan import Entry
from prismrec.experiments.tables.schema import Table


class Published(BaseModel):
    """What a paper reports for a row."""

    model_config = ConfigDict(frozen=True)

    source: str
    """The paper and the place in it."""
    data: str
    """The data set as the paper calls it."""
    same: bool
    """Whether the counts of users, items and interactions are those of our data."""
    values: dict[str, float]
    """By metric."""
    other_paper: bool = False
    """Whether it is from another paper than the table."""
    protocol: str = ""
    """How the other paper measured, in a sentence."""


def published_for(entry: Entry, table: Table) -> tuple[Published, ...]:
    """What this table reports for a row, then what other papers report for the same model on the same data."""
    row = entry.row
    found = []
    for key, values in row.published.items():
        data = table.paper.data[key]
        source = f"{table.paper.short}, {table.place}"
        same = key == entry.source.published
        found.append(Published(source=source, data=data.title, same=same, values=_by_metric(table, values)))
    if row.is_plain:
        found += _elsewhere(row.model, table, counts(entry.source.dataset))
    return tuple(found)


def _elsewhere(model: str, table: Table, size: tuple[int, int, int]) -> list[Published]:
    """What other papers report for a model on data with the same counts, or of the same title as such data."""
    tables = reported_tables()
    papers = [table.paper, *[other.paper for other in tables]]
    titles = {data.title for paper in papers for data in paper.data.values() if data.is_same(*size)}
    found: dict[tuple[str, str], Published] = {}
    for other in tables:
        if other.paper.cite == table.paper.cite:
            continue
        for row in other.rows:
            for key, values in row.published.items():
                data = other.paper.data[key]
                if row.model == model and row.is_plain and data.title in titles:
                    published = Published(
                        source=f"{other.paper.short}, {other.place}",
                        data=data.title,
                        same=data.is_same(*size),
                        values=_by_metric(other, values),
                        other_paper=True,
                        protocol=other.paper.protocol,
                    )
                    found.setdefault((published.source, key), published)
    return list(found.values())


def _by_metric(table: Table, values: Sequence[float | None]) -> dict[str, float]:
    return {metric: value for metric, value in zip(table.metrics, values, strict=True) if value is not None}
