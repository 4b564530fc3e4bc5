"""Progress on standard error: one live line on a terminal, a line per epoch or every ten seconds elsewhere."""

import time
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from rich.console import Console
from rich.status import Status

from prismrec.cli.tables import literal
from prismrec.records import EpochRecord, Settings
from prismrec.training import Callback, EpochEnd, TrainingStart
from prismrec.words import seconds_text

if TYPE_CHECKING:
    from prismrec.content.pipeline import Progress as EncodingProgress
    from prismrec.experiments.search import TuneProgress
    from prismrec.runs.bulk import Progress

SECONDS_BETWEEN_LINES = 10
"""Time between two lines where standard error is not a terminal."""

Show = Literal["auto", "last", "every", "nothing"]


class EpochLines(Callback):
    """Reports epochs; a context, so that the live line ends with the training."""

    def __init__(self, settings: Settings, label: str = "", *, show: Show = "auto") -> None:
        """Create the display.

        Args:
            settings: of the training.
            label: the beginning of each line.
            show: `auto`: a live line on a terminal, a line per epoch elsewhere; `last`: a live line on a terminal, the
                last epoch elsewhere; `every`: a line per epoch; `nothing`.
        """
        self._console = Console(stderr=True, highlight=False)
        self._settings = settings
        self._label = label
        self._best: tuple[float, int] | None = None
        self._show = show
        self._last = ""
        is_live = self._console.is_terminal and show in ("auto", "last")
        self._status = Status("preparing", console=self._console) if is_live else None

    def __enter__(self) -> "EpochLines":
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()
        elif self._show == "last" and self._last:
            self._print(self._last)

    def on_start(self, start: TrainingStart) -> None:
        """Continue the count of a resumed run."""
        for record in start.history:
            self._update_best(record)
        if start.history and self._show != "nothing":
            self._print(f"{self._label}resuming after epoch {start.history[-1].epoch}")

    def on_epoch(self, epoch: EpochEnd) -> None:
        """Show one epoch."""
        record = epoch.record
        self._update_best(record)
        terms = "  ".join(f"{name} {value:.4g}" for name, value in record.loss.items())
        line = f"{self._label}epoch {record.epoch}  {terms}  {seconds_text(record.seconds)} s"
        if record.valid is not None and self._best is not None:
            score = record.valid[self._settings.metric]
            line += f"  valid {self._settings.metric} {score:.4f} (best {self._best[0]:.4f} at {self._best[1]})"
        self._last = line
        if self._status:
            self._status.update(literal(line))
        elif self._show in ("auto", "every"):
            self._print(line)

    def _update_best(self, record: EpochRecord) -> None:
        if record.valid is None:
            return
        score = record.valid[self._settings.metric]
        if self._best is None or score > self._best[0]:
            self._best = (score, record.epoch)

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)


class LiveStatus:
    """A line that is live on a terminal; a context, so that it ends with it."""

    def __init__(self, label: str, console: Console, *, live: bool = True) -> None:
        self._console = console
        self._status = Status(label, console=console) if console.is_terminal and live else None

    def __enter__(self) -> Self:
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()


class _Line(LiveStatus):
    """One line about long work: live on a terminal, now and then elsewhere."""

    def __init__(self, label: str, *, quiet: bool = False) -> None:
        super().__init__(label, Console(stderr=True, highlight=False, quiet=quiet), live=not quiet)
        self._printed = time.monotonic()

    def _show(self, line: str) -> None:
        if self._status:
            self._status.update(literal(line))
        elif time.monotonic() - self._printed >= SECONDS_BETWEEN_LINES:
            self._printed = time.monotonic()
            self._console.print(line, markup=False, soft_wrap=True)


class UserLines(_Line):
    """Reports how many users have their lists."""

    def __init__(self) -> None:
        super().__init__("ranking")

    def report(self, progress: "Progress") -> None:
        """Show how far the work is."""
        line = f"{progress.done:,} of {progress.total:,} users"
        if progress.seconds_left is not None:
            line += f", {timedelta(seconds=round(progress.seconds_left))} left"
        self._show(line)


class EncodingLines(_Line):
    """Reports how many texts, pictures or sounds are encoded."""

    def __init__(self, *, quiet: bool = False) -> None:
        super().__init__("encoding", quiet=quiet)

    def report(self, modality: str, progress: "EncodingProgress") -> None:
        """Show how far the encoding of a modality is."""
        left = timedelta(seconds=round(progress.seconds_left))
        self._show(f"{modality}: {progress.done:,} of {progress.total:,}, {progress.rate:,.1f} per second, {left} left")


class DownloadLines(_Line):
    """Reports how many bytes of a file are there."""

    def __init__(self, opening: str, *, quiet: bool = False) -> None:
        """Create the display.

        Args:
            opening: a line to print when the first bytes arrive, so that a refusal remains the only line.
            quiet: whether to print nothing.
        """
        super().__init__("connecting", quiet=quiet)
        self._opening = opening
        self._start: tuple[str, float, int] | None = None

    def report(self, name: str, done: int, total: int | None) -> None:
        """Show how far the download of a file is."""
        now = time.monotonic()
        if self._start is None:
            self._console.print(self._opening, markup=False, soft_wrap=True)
        if self._start is None or self._start[0] != name:
            self._start = (name, now, done)
        elapsed = now - self._start[1]
        line = f"{name}: {done / 1e6:,.1f} MB"
        if total is not None:
            line = f"{name}: {done / 1e6:,.1f} of {total / 1e6:,.1f} MB"
        if elapsed > 1:
            rate = (done - self._start[2]) / elapsed
            line += f", {rate / 1e6:,.1f} MB per second"
            if total is not None and rate > 0:
                line += f", {timedelta(seconds=round((total - done) / rate))} left"
        self._show(line)


class ImportLines(_Line):
    """Reports how many interactions are read."""

    def __init__(self, *, quiet: bool = False) -> None:
        super().__init__("reading", quiet=quiet)

    def report(self, count: int) -> None:
        """Show how many interactions are read."""
        self._show(f"{count:,} interactions")


class TrialLines(_Line):
    """Reports the trials of a search."""

    def __init__(self, settings: Settings, *, quiet: bool = False) -> None:
        super().__init__("preparing", quiet=quiet)
        self._metric = settings.metric
        self._failed = 0

    def report(self, progress: "TuneProgress") -> None:
        """Show how far the search is, and each trial that fails."""
        if progress.failed > self._failed:
            self._failed = progress.failed
            self._console.print(f"trials: one failed: {progress.error}", markup=False, soft_wrap=True)
        line = f"trials: {progress.done} done, {progress.running} running, {progress.left} left"
        if progress.failed:
            line += f", {progress.failed} failed"
        if progress.best is not None:
            line += f"; best {self._metric} {progress.best:.4f}"
        if progress.seconds_left:
            line += f"; {timedelta(seconds=round(progress.seconds_left))} left"
        if progress.epoch is not None:
            score = "" if progress.epoch.valid is None else f", {progress.epoch.valid[self._metric]:.4f}"
            line += f"; number {progress.number}: epoch {progress.epoch.epoch}{score}"
        self._show(line)


class PictureLines(_Line):
    """Reports how many pictures are downloaded."""

    def __init__(self, *, quiet: bool = False) -> None:
        super().__init__("connecting", quiet=quiet)

    def report(self, done: int, total: int) -> None:
        """Show how many pictures were asked for."""
        self._show(f"{done:,} of {total:,} pictures")


class PageLines(_Line):
    """Reports how many items a page in one file describes."""

    def __init__(self) -> None:
        super().__init__("page")

    def report(self, done: int, total: int) -> None:
        """Show how far the work is."""
        self._show(f"{done:,} of {total:,} items")
