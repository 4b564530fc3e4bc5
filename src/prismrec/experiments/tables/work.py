"""The trainings of a table: which are finished, which are left, and their computation."""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

from prismrec.experiments.tables import cells
from prismrec.experiments.tables.cells import Cell
from prismrec.experiments.tables.plan import Entry, describe_error
from prismrec.experiments.tables.result import Result
from prismrec.records import Settings
from prismrec.runs.lock import BusyError
from prismrec.temporary import remove_stale
from prismrec.training import Callback

_SECONDS_TO_WAIT = 1.0
"""Time between two looks at cells that other processes compute."""


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
    """Receives the progress of a table. The base class does nothing."""

    def progress(self, progress: Progress) -> None:
        """Called before each training, and at the end."""

    def failed(self, label: str, error: str) -> None:
        """Called after a training that failed."""

    def callbacks(self, _label: str, _settings: Settings, /) -> Sequence[Callback]:
        """Callbacks for a training."""
        return ()


@dataclass
class Work:
    """The cells of a table, and what became of them.

    Attributes:
        folder: where the cells are.
        watcher: learns about the progress.
        labels: what each cell is called, by its key like the others.
        pending: cells without a result.
        results: of the finished cells.
        errors: of the cells that failed.
    """

    folder: Path
    watcher: Watcher = field(default_factory=Watcher)
    labels: dict[str, str] = field(default_factory=dict)
    pending: dict[str, Cell] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def add(self, entries: Sequence[Entry]) -> None:
        """Add cells by seed, so that all rows have their first seed before one has its second."""
        remove_stale(self.folder)
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
                cells.remove_rest(cell, self.folder)

    def run(self) -> None:
        """Train what is pending. Ctrl-C ends the work; other errors end a cell.

        A cell that another process computes is tried again after the others.
        """
        busy = 0  # cells in a row that another process computes
        while self.pending:
            key = next(iter(self.pending))
            cell = self.pending.pop(key)
            label = self.labels[key]
            self.report(label, [cell])
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
                self.fail(key, describe_error(error))
        self.report("")

    def fail(self, key: str, error: str) -> None:
        """Record the error of a cell."""
        self.errors[key] = error
        self.watcher.failed(self.labels[key], error)

    def report(self, label: str, running: Sequence[Cell] = ()) -> None:
        """Tell the watcher how far the work is."""
        seconds = self._seconds([*self.pending.values(), *running])
        self.watcher.progress(Progress(len(self.results), len(self.labels), len(self.errors), label, seconds))

    def _seconds(self, left: Sequence[Cell]) -> float | None:
        """The time that some cells may take, from those of the same model, or from all."""
        if not self.results:
            return None
        by_model: dict[str, list[float]] = {}
        for result in self.results.values():
            by_model.setdefault(result.model, []).append(result.seconds)
        overall = mean(result.seconds for result in self.results.values())
        return sum(mean(by_model.get(cell.model, [overall])) for cell in left)
