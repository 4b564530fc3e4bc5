"""Compute a table: train what is missing, continue what was interrupted, go on after errors, summarise."""

import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import mean

from prismrec.errors import InputError
from prismrec.experiments.tables import cells
from prismrec.experiments.tables.cells import Cell, Result
from prismrec.experiments.tables.library import counts
from prismrec.experiments.tables.outcome import (
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
from prismrec.experiments.tables.plan import Chosen, Entry, Options, chosen_rows, make_entry
from prismrec.experiments.tables.schema import Row, Table
from prismrec.experiments.tables.sources import Missing, Source
from prismrec.records import Settings
from prismrec.runs.lock import BusyError
from prismrec.training import Callback

NOT_COMPUTED = "not computed yet"
_SECONDS_TO_WAIT = 1.0
"""Time between two looks at cells that other processes compute."""
Choose = Callable[[str, Source], Chosen]


@dataclass(frozen=True)
class Progress:
    """How far a table is.

    Attributes:
        done: number of finished cells.
        total: number of cells.
        failed: number of cells that ended with an error.
        running: what is trained now; empty at the end.
        seconds_left: an estimate from the finished cells; None if nothing is known.
    """

    done: int
    total: int
    failed: int
    running: str
    seconds_left: float | None


@dataclass
class Watcher:
    """What learns about the progress: does nothing by itself."""

    def progress(self, progress: Progress) -> None:
        """Called before each training, and at the end."""

    def failed(self, label: str, error: str) -> None:
        """Called after a training that failed."""

    def callbacks(self, _label: str, _settings: Settings, /) -> Sequence[Callback]:
        """Callbacks for a training."""
        return ()


@dataclass
class _Work:
    """The cells of a table, and what became of them."""

    folder: Path
    watcher: Watcher
    labels: dict[str, str] = field(default_factory=dict)
    pending: dict[str, Cell] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def add(self, entries: Sequence[Entry]) -> None:
        """Add cells by seed, so that all rows have their first seed before one has its second."""
        several = len({entry.source.name for entry in entries}) > 1
        pairs = [(cell, entry) for entry in entries for cell in entry.cells]
        for cell, entry in sorted(pairs, key=lambda pair: pair[0].settings.seed):
            if cell.key in self.labels:
                continue
            place = f" on {entry.source.name}" if several else ""
            self.labels[cell.key] = f"{entry.row.label}{place}, seed {cell.settings.seed}"
            found = cells.find_result(cell, self.folder)
            if found is None:
                self.pending[cell.key] = cell
            else:
                self.results[cell.key] = found

    def run(self) -> None:
        """Train what is pending. Ctrl-C ends the work; other errors end a cell.

        A cell that another process computes is taken up again after the others.
        """
        busy = 0  # cells in a row that another process computes
        while self.pending:
            key = next(iter(self.pending))
            cell = self.pending.pop(key)
            label = self.labels[key]
            self.watcher.progress(self._progress(label, cell))
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    self.results[key] = cells.compute(cell, self.folder, self.watcher.callbacks(label, cell.settings))
                busy = 0
            except BusyError:
                self.pending[key] = cell
                busy += 1
                if busy >= len(self.pending):
                    time.sleep(_SECONDS_TO_WAIT)
            except Exception as error:  # the other cells go on
                self.errors[key] = _describe(error)
                self.watcher.failed(label, self.errors[key])
        self.watcher.progress(self._progress(""))

    def _progress(self, running: str, cell: Cell | None = None) -> Progress:
        left = [*self.pending.values(), *([cell] if cell else [])]
        return Progress(len(self.results), len(self.labels), len(self.errors), running, self._seconds(left))

    def _seconds(self, left: Sequence[Cell]) -> float | None:
        """The time that some cells may take, from those of the same model, or from all."""
        if not self.results:
            return None
        by_model: dict[str, list[float]] = {}
        for result in self.results.values():
            by_model.setdefault(result.model, []).append(result.seconds)
        overall = mean(result.seconds for result in self.results.values())
        return sum(mean(by_model.get(cell.model, [overall])) for cell in left)


def _describe(error: Exception) -> str:
    if isinstance(error, InputError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"


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
    work = _Work(out / "cells", watcher or Watcher())
    entries, errors = [], {}
    for source in sources:
        for row in chosen_rows(table, options):
            entry, error = _try_entry(table, row, source, options, choose)
            entries.append(entry)
            errors[id(entry)] = error
    work.add(entries)
    if not finished_only:
        work.run()
    rows: list[RowOutcome] = []
    tests: list[Test] = []
    verdicts: list[Verdict] = []
    for source in sources:
        users: dict[str, Users] = {}
        for entry in entries:
            if entry.source is source:
                rows.append(_row(entry, table, work, users, errors[id(entry)]))
        tests += compare_with_reference(table, users, source.name)
        verdicts += judge(table, users, source.name)
    return _outcome(table, sources, options, missing, command, rows, tests, verdicts)


def _try_entry(table: Table, row: Row, source: Source, options: Options, choose: Choose) -> tuple[Entry, str]:
    """The entry, or an empty one with its error."""
    try:
        return make_entry(table, row, source, options, choose), ""
    except Exception as error:  # a failed search for settings leaves the other rows alone
        return Entry(row, source), _describe(error)


def _row(entry: Entry, table: Table, work: _Work, users: dict[str, Users], error: str) -> RowOutcome:
    results = [work.results[cell.key] for cell in entry.cells if cell.key in work.results]
    failures = [work.errors[cell.key] for cell in entry.cells if cell.key in work.errors]
    per_user: Users | None = None
    if results:
        per_user = mean_over_seeds([cells.read_users(result.key, work.folder) for result in results])
        users[entry.row.label] = per_user
    outcome = summarise(entry, table, results, per_user, error or (failures[0] if failures else ""))
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
