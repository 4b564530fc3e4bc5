"""Compute a table: train what is missing, continue what was interrupted, go on after errors, summarise."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from prismrec.experiments.tables import cells
from prismrec.experiments.tables.library import counts
from prismrec.experiments.tables.on_ray import run_on_ray
from prismrec.experiments.tables.outcome import (
    NOT_COMPUTED,
    Outcome,
    RowOutcome,
    Test,
    Users,
    Verdict,
    compare_with_reference,
    judge,
    mean_over_seeds,
    summarise,
)
from prismrec.experiments.tables.plan import Choose, Entry, Options, make_entries
from prismrec.experiments.tables.schema import Table
from prismrec.experiments.tables.sources import Missing, Source
from prismrec.experiments.tables.work import Watcher, Work


def reproduce(
    table: Table,
    sources: Sequence[Source],
    out: Path,
    options: Options,
    choose: Choose,
    *,
    missing: Sequence[Missing] = (),
    command: str = "",
    finished_only: bool = False,
    watcher: Watcher | None = None,
) -> Outcome:
    """Train the cells of a table that are not stored yet, and summarise all of them.

    Args:
        table: the table.
        sources: the data sets.
        out: the folder whose subfolder `cells` keeps the results.
        options: what to leave out or to change.
        choose: finds the hyperparameters of a model for a data set on its validation split.
        missing: data sets that were not found.
        command: the command line that repeats this.
        finished_only: train nothing; summarise the cells that are stored.
        watcher: learns about the progress.

    Raises:
        InputError: an option names something unknown, or a stored cell cannot be read.
    """
    work = Work(out / "cells", watcher or Watcher())
    entries = make_entries(table, sources, options, choose)
    if finished_only:
        entries = [replace(each, cells=()) if each.settings.trials else each for each in entries]
    work.add(entries)
    if not finished_only and options.engine == "ray":
        run_on_ray(work, options.workers)
    elif not finished_only:
        work.run()
    rows: list[RowOutcome] = []
    tests: list[Test] = []
    verdicts: list[Verdict] = []
    for source in sources:
        users: dict[str, Users] = {}
        for entry in entries:
            if entry.source is source:
                rows.append(_row(entry, table, work, users))
        tests += compare_with_reference(table, users, source.name)
        verdicts += judge(table, users, source.name)
    return _outcome(table, sources, options, missing, command, rows, tests, verdicts)


def _row(entry: Entry, table: Table, work: Work, users: dict[str, Users]) -> RowOutcome:
    results = [work.results[cell.key] for cell in entry.cells if cell.key in work.results]
    failures = [work.errors[cell.key] for cell in entry.cells if cell.key in work.errors]
    per_user: Users | None = None
    if results:
        per_user = mean_over_seeds([cells.read_users(result.key, work.folder) for result in results])
        users[entry.row.label] = per_user
    outcome = summarise(entry, table, results, per_user, entry.error or (failures[0] if failures else ""))
    if not results and not outcome.reason and not outcome.error:
        return outcome.model_copy(update={"reason": NOT_COMPUTED})
    return outcome


def _outcome(
    table: Table,
    sources: Sequence[Source],
    options: Options,
    missing: Sequence[Missing],
    command: str,
    rows: Sequence[RowOutcome],
    tests: Sequence[Test],
    verdicts: Sequence[Verdict],
) -> Outcome:
    seeds = options.seeds or table.seeds
    patience = table.patience if options.patience is None else options.patience
    protocol: dict[str, object] = {
        "split": table.split or "labels of the data, else 8:1:1 within each user",
        "epoch chosen by": f"validation {table.choose}",
        "patience": patience,
        "seeds": seeds,
        "candidates": "all items except the training items of the user",
    }
    if options.epochs is not None:
        protocol["largest number of epochs"] = options.epochs
    versions = next((result.versions for row in rows for result in row.cells), {"prismrec": version("prismrec")})
    return Outcome(
        name=table.name,
        title=table.title,
        cite=table.paper.cite,
        place=table.place,
        display=table.display,
        metrics=table.metrics,
        decisive=table.decisive,
        reference=table.reference,
        protocol=protocol,
        published_protocol=table.paper.protocol,
        notes=(*table.notes, *table.paper.differs),
        command=command,
        finished=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        versions=versions,
        data={source.name: _facts(source, table) for source in sources},
        missing={each.name: f"{each.title}: {each.where}" for each in missing},
        rows=tuple(rows),
        tests=tuple(tests),
        verdicts=tuple(verdicts),
    )


def _facts(source: Source, table: Table) -> Mapping[str, object]:
    users, items, interactions = counts(source.dataset)
    facts: dict[str, object] = {
        "users": users,
        "items": items,
        "interactions": interactions,
        "train": len(source.dataset.train),
        "valid": len(source.dataset.valid),
        "test": len(source.dataset.test),
        "modalities": {name: matrix.shape[1] for name, matrix in source.dataset.features.items()},
        "fingerprint": source.dataset.fingerprint,
    }
    if source.published is not None:
        facts["in the paper"] = table.paper.data[source.published].title
    return facts
