"""How long a search will take and how much memory it needs, from a few epochs measured before it starts."""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from prismrec.errors import InputError, ParameterError
from prismrec.experiments.bench import peak_bytes
from prismrec.experiments.space import Point
from prismrec.experiments.train import build_model, make_config
from prismrec.experiments.validation import make_validation
from prismrec.memory import available_memory
from prismrec.ops.device import flush_denormals
from prismrec.records import Settings
from prismrec.stopping import out_of_patience
from prismrec.training import Callback, EpochEnd, fit

if TYPE_CHECKING:
    from prismrec.experiments.search import Search

_MOST_COSTS = 6
"""The largest number of combinations to measure."""
_EPOCHS = 2
"""Epochs of each, of which the first warms up."""


@dataclass(frozen=True)
class Estimate:
    """The expected cost of a search.

    Attributes:
        trials: the number of trials.
        start_seconds: mean time of a trial before its first epoch.
        epoch_seconds: time of an epoch with its validation, for each combination that was measured.
        epochs: the smallest and the largest number of epochs of a trial.
        peak_bytes: memory of a process that runs trials; None if the system does not tell.
        available_bytes: memory that further processes can use; None if the system does not tell.
    """

    trials: int
    start_seconds: float
    epoch_seconds: tuple[float, ...]
    epochs: tuple[int, int]
    peak_bytes: int | None
    available_bytes: int | None

    def seconds(self, epochs: int, workers: int = 1) -> float:
        """The time of the search if each trial trains for this number of epochs."""
        trial = self.start_seconds + epochs * mean(self.epoch_seconds)
        return -(-self.trials // workers) * trial

    @property
    def most_workers(self) -> int | None:
        """The number of processes that fit in the memory, this one included; None if the system does not tell."""
        if self.peak_bytes is None or self.available_bytes is None:
            return None
        return 1 + int(self.available_bytes // self.peak_bytes)

    def check_memory(self, workers: int) -> None:
        """Refuse more processes than fit in the memory.

        Raises:
            ParameterError: there are more.
        """
        most = self.most_workers
        if most is not None and self.peak_bytes is not None and workers > most:
            found = f"{workers}, each of which takes about {self.peak_bytes / 2**30:.1f} GiB of memory"
            raise ParameterError("workers", found, f"at most {most}")


def estimate(search: "Search") -> Estimate:
    """Measure a few epochs of combinations that differ in cost.

    Numbers that are no whole numbers, such as rates and weights, count as free of cost. At most six combinations of the
    others are measured; if there are more, they are drawn at random.

    Args:
        search: from `make_search`.

    Raises:
        InputError: no combination can be trained.
    """
    runner, costs, errors = search.runner, [], []
    _reset_peak()
    for point in _distinct_costs(search):
        try:
            costs.append(_measure(search, point))
        except InputError as error:  # as in the search, where such a trial fails
            errors.append(error)
    if not costs:
        raise errors[0]
    return Estimate(
        trials=search.most if search.space.size is None else min(search.most, search.space.size),
        start_seconds=mean(start for start, _ in costs),
        epoch_seconds=tuple(epoch for _, epoch in costs),
        epochs=_numbers_of_epochs(runner.settings),
        peak_bytes=peak_bytes(),
        available_bytes=available_memory(),
    )


def _distinct_costs(search: "Search") -> list[Point]:
    """Combinations that differ in what costs time."""
    draws = random.Random(0)
    space = search.space
    found: dict[str, Point] = {}
    if space.size is not None and space.size <= search.most:
        points = list(space.points())
        draws.shuffle(points)
    else:
        points = [space.draw(draws) for _ in range(search.most)]
    for point in ([search.first] if search.first is not None else []) + points:
        costly = {name: value for name, value in point.items() if not isinstance(value, float)}
        found.setdefault(repr(costly), point)
    return list(found.values())[:_MOST_COSTS]


@flush_denormals()
def _measure(search: "Search", point: Mapping[str, object]) -> tuple[float, float]:
    """Seconds before the first epoch, and of an epoch with its validation."""
    runner = search.runner
    settings = runner.settings.model_copy(update={"epochs": _EPOCHS, "patience": _EPOCHS})
    validate = make_validation(runner.dataset, settings, None)
    clock = _Clock()
    model = build_model(runner.model, runner.dataset, make_config(runner.model, {**runner.config, **point}), settings)
    fit(model, runner.dataset.train, settings, validate, callbacks=[clock])
    if len(clock.times) < _EPOCHS + 1:  # a model without weights has no epochs
        return time.perf_counter() - clock.times[0], 0.0
    epoch = clock.times[-1] - clock.times[-2]
    return max(clock.times[1] - clock.times[0] - epoch, 0.0), epoch


class _Clock(Callback):
    """The time at its creation and after each epoch."""

    def __init__(self) -> None:
        self.times = [time.perf_counter()]

    def on_epoch(self, _epoch: EpochEnd) -> None:
        self.times.append(time.perf_counter())


def _numbers_of_epochs(settings: Settings) -> tuple[int, int]:
    """The number of epochs of a training whose first validation is the best, and the largest number."""
    first = settings.validate_every
    for epochs in range(first, settings.epochs):
        if out_of_patience(settings, epochs, first, epochs // first - 1):
            return epochs, settings.epochs
    return settings.epochs, settings.epochs


def _reset_peak() -> None:
    """Let the system forget the peak memory of this process so far; only Linux can, and not always."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return
