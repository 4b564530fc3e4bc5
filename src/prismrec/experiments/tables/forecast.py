"""The estimate of a table before it starts: trainings and trials that are left, time and memory."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

from prismrec.experiments.estimate import Cost, distinct_costs, measure_cost, numbers_of_epochs, processes_that_fit
from prismrec.experiments.tables import cells
from prismrec.experiments.tables.cells import Cell
from prismrec.experiments.tables.plan import Choose, Entry, Options, describe_error, make_entries
from prismrec.experiments.tables.result import Result
from prismrec.experiments.tables.schema import Table
from prismrec.experiments.tables.sources import Source
from prismrec.experiments.tables.work import Work
from prismrec.memory import available_memory

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Load:
    """What is left to do for one model on one data set.

    Attributes:
        model: its name.
        data: the name of the data set.
        finished: trainings that are stored.
        elsewhere: trainings that other processes compute now.
        left: the other trainings.
        trials: trials to choose the hyperparameters, before the trainings.
        seconds: of one training or trial, the least and the most; None if it was not measured.
        peak_bytes: memory of the process; None if it was not measured, or the system does not tell.
        errors: of rows that will fail, each after the label of its row.
    """

    model: str
    data: str
    finished: int
    elsewhere: int
    left: int
    trials: int = 0
    seconds: tuple[float, float] | None = None
    peak_bytes: int | None = None
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Forecast:
    """The estimate of a table.

    Attributes:
        table: its name.
        loads: one per model and data set.
        epochs: the smallest and the largest number of epochs of a training.
        available_bytes: memory that further processes can use; None if the system does not tell.
    """

    table: str
    loads: tuple[Load, ...]
    epochs: tuple[int, int]
    available_bytes: int | None

    @property
    def seconds(self) -> tuple[float, float] | None:
        """The time of all trials and trainings that are left, the least and the most; None if it is not known."""
        waiting = [load for load in self.loads if load.left + load.trials]
        if any(load.seconds is None and not load.errors for load in waiting):
            return None
        parts = [(load.left + load.trials, load.seconds) for load in waiting if load.seconds is not None]
        return sum(count * least for count, (least, _) in parts), sum(count * most for count, (_, most) in parts)

    @property
    def peak_bytes(self) -> int | None:
        """The memory of a process that computes the table; None if it is not known."""
        return _largest([load.peak_bytes for load in self.loads])

    @property
    def most_processes(self) -> int | None:
        """The number of processes that fit in the memory, this one included; None if it is not known."""
        return processes_that_fit(self.peak_bytes, self.available_bytes)


def forecast(
    table: Table,
    sources: Sequence[Source],
    out: Path,
    options: Options,
    choose: Choose,
    *,
    measured: bool = True,
    tell: Tell | None = None,
) -> Forecast:
    """Count the unfinished trainings of a table, and estimate their time and memory.

    A model with finished trainings is expected to take their mean time. Any other model is timed on up to six epochs.

    Args:
        table: the table.
        sources: the data sets.
        out: the folder whose subfolder `cells` keeps the results.
        options: what to leave out or to change.
        choose: from `chooser` with `searches="preview"`.
        measured: whether to train epochs of models without finished trainings.
        tell: called with what is measured next.

    Raises:
        InputError: an option names something unknown, or a stored cell cannot be read.
    """
    work = Work(out / "cells")
    entries = make_entries(table, sources, options, choose)
    work.add(entries)
    loads, settings = [], None
    for group in _groups(entries):
        loads.append(_load(group, work, tell, measured=measured))
        settings = next((cell.settings for entry in group for cell in entry.cells), settings)
    epochs = (0, 0) if settings is None else numbers_of_epochs(settings)
    return Forecast(table.name, tuple(loads), epochs, available_memory())


def _groups(entries: Sequence[Entry]) -> list[list[Entry]]:
    """The entries that are run, by model and data set."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        if not entry.reason:
            groups.setdefault((entry.row.model, entry.source.name), []).append(entry)
    return list(groups.values())


def _load(group: Sequence[Entry], work: Work, tell: Tell | None, *, measured: bool) -> Load:
    """The finished and unfinished trainings of one model on one data set, with their time and memory."""
    first = group[0]
    found = {cell.key: cell for entry in group for cell in entry.cells}
    results = [work.results[key] for key in found if key in work.results]
    pending = [cell for key, cell in found.items() if key in work.pending]
    elsewhere = sum(cells.is_running(cell, work.folder) for cell in pending)
    load = Load(first.row.model, first.source.name, len(results), elsewhere, len(pending) - elsewhere)
    if first.error:
        return replace(load, errors=(f"{first.row.label}: {first.error}",))
    if first.settings.trials:  # what is stored has other hyperparameters
        load = replace(load, finished=0, left=len(found), trials=first.settings.trials)
    if results:
        return _from_finished(results, load)
    if measured and load.left:
        if tell is not None:
            tell(f"{load.model} on {load.data}")
        return _measured(pending, work.labels, load)
    return load


def _from_finished(results: Sequence[Result], load: Load) -> Load:
    """The load with the mean time and the largest memory of finished trainings."""
    seconds = mean(result.seconds for result in results)
    return replace(load, seconds=(seconds, seconds), peak_bytes=_largest([result.peak_bytes for result in results]))


def _measured(pending: Sequence[Cell], labels: Mapping[str, str], load: Load) -> Load:
    """The load with the measured time and memory of cells that differ in cost."""
    costs: list[Cost] = []
    errors: list[str] = []
    for cell in distinct_costs(pending, _hyperparameters):
        try:
            costs.append(measure_cost(cell.model, cell.dataset, cell.config, cell.settings))
        except Exception as error:  # the training will fail with it; the others go on
            errors.append(f"{labels[cell.key]}: {describe_error(error)}")
    if not costs:
        return replace(load, errors=tuple(errors))
    start, epoch = mean(cost.start_seconds for cost in costs), mean(cost.epoch_seconds for cost in costs)
    least, most = numbers_of_epochs(pending[0].settings)
    seconds = start + least * epoch, start + most * epoch
    return replace(
        load, seconds=seconds, peak_bytes=_largest([cost.peak_bytes for cost in costs]), errors=tuple(errors)
    )


def _hyperparameters(cell: Cell) -> dict[str, object]:
    return {**cell.config.model_dump(), "modalities": tuple(cell.dataset.features)}


def _largest(sizes: Sequence[int | None]) -> int | None:
    return max((size for size in sizes if size is not None), default=None)
