"""The progress of a table on standard error."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from prismrec.cli.progress import SECONDS_BETWEEN_LINES, LiveStatus
from prismrec.cli.tables import literal
from prismrec.experiments.tables.work import Progress, Watcher
from prismrec.records import Settings
from prismrec.training import Callback, EpochEnd
from prismrec.words import duration

if TYPE_CHECKING:
    from prismrec.experiments.search import TuneProgress


class TableLines(LiveStatus, Watcher):
    """Cells done, running and left, and the time they may take."""

    def __init__(self, name: str, *, quiet: bool) -> None:
        """Create the display.

        Args:
            name: of the table.
            quiet: print errors only.
        """
        super().__init__(name, Console(stderr=True, highlight=False), live=not quiet)
        self._name = f"table {name}"
        self._quiet = quiet
        self._head = ""
        self._shown = 0.0

    def progress(self, progress: Progress) -> None:
        """Show how many cells are done."""
        parts = [f"{progress.done} of {progress.total} trainings done"]
        if progress.failed:
            parts.append(f"{progress.failed} failed")
        if progress.running and progress.seconds_left is not None:
            parts.append(f"about {duration(progress.seconds_left)} left")
        self._head = f"{self._name}: {', '.join(parts)}"
        self.line(f"{self._head}; now {progress.running}" if progress.running else self._head)

    def measuring(self, what: str) -> None:
        """Show what is measured for the estimate."""
        self._throttled(f"measuring {what}")

    def search(self, what: str, progress: "TuneProgress") -> None:
        """Show a search for hyperparameters."""
        text = f"choosing hyperparameters of {what}: {progress.done} trials done, {progress.left} left"
        if progress.seconds_left is not None and progress.running:
            text += f", about {duration(progress.seconds_left)} left"
        self._throttled(text, at_once=not progress.left + progress.running)

    def _throttled(self, text: str, *, at_once: bool = False) -> None:
        """Show each step on a terminal, one now and then elsewhere."""
        now = time.monotonic()
        if self._status is None and not at_once and now - self._shown < SECONDS_BETWEEN_LINES:
            return
        self._shown = now
        self.line(f"{self._name}: {text}")

    def failed(self, label: str, error: str) -> None:
        """Print the error of a cell."""
        self._console.print(f"{self._name}: {label} failed: {error}", markup=False, soft_wrap=True)

    def callbacks(self, label: str, settings: Settings, /) -> Sequence[Callback]:
        """Show epochs."""
        return () if self._quiet else (_Epochs(self, label, settings, live=self._status is not None),)

    def line(self, text: str) -> None:
        """Show one line."""
        if self._status:
            self._status.update(literal(text))
        elif not self._quiet:
            self._console.print(text, markup=False, soft_wrap=True)

    def epoch(self, text: str) -> None:
        """Show the state of the running cell."""
        self.line(f"{self._head}; {text}")


class _Epochs(Callback):
    """Shows the epochs of one cell: each one on a terminal, one now and then elsewhere."""

    def __init__(self, lines: TableLines, label: str, settings: Settings, *, live: bool) -> None:
        self._lines = lines
        self._label = label
        self._metric = settings.metric
        self._live = live
        self._shown = time.monotonic()

    def on_epoch(self, epoch: EpochEnd) -> None:
        """Show one epoch."""
        now = time.monotonic()
        if not self._live and now - self._shown < SECONDS_BETWEEN_LINES:
            return
        self._shown = now
        record = epoch.record
        score = f", valid {self._metric} {record.valid[self._metric]:.4f}" if record.valid else ""
        self._lines.epoch(f"{self._label}: epoch {record.epoch}{score}")
