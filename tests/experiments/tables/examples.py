"""A table with three rows, and a way to compute it quickly."""

from pathlib import Path
from typing import Any

from prismrec.experiments.tables.outcome import Outcome
from prismrec.experiments.tables.plan import Chosen, Options
from prismrec.experiments.tables.reproduce import reproduce
from prismrec.experiments.tables.schema import Table
from prismrec.experiments.tables.sources import Source
from prismrec.experiments.tables.work import Watcher

PAPER = {
    "short": "Paper (2026)",
    "cite": "A. Author. 'A paper.' 2026",
    "data": {
        "mine": {"title": "Shop", "users": 60, "items": 40, "interactions": 600, "where": "from the author"},
        "other": {"title": "Other", "users": 9, "items": 9, "interactions": 9, "where": "nowhere"},
    },
}


def table(**changes: Any) -> Table:
    fields: dict[str, Any] = {
        "name": "my-table",
        "title": "Three models",
        "paper": PAPER,
        "place": "Table 1",
        "metrics": ["recall@20", "ndcg@20"],
        "reference": "VBPR",
        "rows": [
            {"label": "popular", "model": "most-popular"},
            {"label": "MF", "model": "MF-BPR", "published": {"mine": [0.2, 0.1], "other": [0.3, 0.2]}},
            {"label": "VBPR", "model": "VBPR", "config": {"embedding_size": 8}},
        ],
        "claims": [{"says": "VBPR is best.", "better": ["VBPR"]}],
    }
    return Table.model_validate({**fields, **changes})


def run(
    table: Table,
    source: Source,
    out: Path,
    watcher: Watcher | None = None,
    *,
    finished_only: bool = False,
    **options: Any,
) -> Outcome:
    narrowed = Options(**{"seeds": 1, "epochs": 2, "device": "cpu", **options})
    choice = Chosen({}, "defaults")
    return reproduce(
        table, [source], out, narrowed, lambda model, source: choice, watcher=watcher, finished_only=finished_only
    )
