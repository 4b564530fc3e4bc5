"""How long a search will take and how much memory it needs, from a few epochs measured before it starts."""

import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING, TypeVar

from prismrec.data import Dataset
from prismrec.errors import InputError, ParameterError
from prismrec.experiments.bench import peak_bytes, reset_peak
from prismrec.experiments.space import Point
from prismrec.experiments.train import build_model, make_config
from prismrec.experiments.validation import make_validation
from prismrec.experiments.weights import memory_errors
from prismrec.memory import available_memory
from prismrec.models import ModelConfig, Recommender, find_model
from prismrec.ops.device import flush_denormals
from prismrec.records import Settings
from prismrec.stopping import out_of_patience
from prismrec.training import Callback, EpochEnd, TrainingStart, fit

if TYPE_CHECKING:
    from prismrec.experiments.search import Search

_MOST_COSTS = 6
"""The largest number of combinations to measure."""
_MOST_EPOCHS = 6
"""The largest number of epochs of each, of which the first warms up."""
_ENOUGH_SECONDS = 10.0
"""Time after which no further epoch is needed: single short epochs vary much on a busy machine."""
_LONG_EPOCH = 60.0
"""Seconds after which the first epoch is enough: its warm-up no longer matters."""
Combination = TypeVar("Combination")


@dataclass(frozen=True)
class Cost:
    """What a training takes.

    Attributes:
        start_seconds: time before its first epoch.
        epoch_seconds: time of an epoch with its validation; 0 for a model without weights.
        peak_bytes: memory of the process; None if the system does not tell.
    """

    start_seconds: float
    epoch_seconds: float
    peak_bytes: int | None


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
        return processes_that_fit(self.peak_bytes, self.available_bytes)

    def check_memory(self, workers: int) -> None:
        """Refuse more processes than fit in the memory.

        Raises:
            ParameterError: there are more.
        """
        most = self.most_workers
        if most is not None and self.peak_bytes is not None and workers > most:
            found = f"{workers}, each of which takes about {self.peak_bytes / 2**30:.1f} GiB of memory"
            raise ParameterError("workers", found, f"at most {most}")


def processes_that_fit(peak_bytes: int | None, available_bytes: int | None) -> int | None:
    """The number of processes that fit in the memory, this one included; None if the system does not tell."""
    if peak_bytes is None or available_bytes is None:
        return None
    return 1 + int(available_bytes // peak_bytes)


def estimate(search: "Search") -> Estimate:
    """Measure a few epochs of combinations that differ in cost.

    Real numbers, such as rates and weights, do not change the cost. At most six combinations of the other
    hyperparameters are measured; if there are more, they are drawn at random.

    Args:
        search: from `make_search`.

    Raises:
        InputError: no combination can be trained.
    """
    runner, costs, errors = search.runner, [], []
    for point in distinct_costs(_points(search), dict):
        try:
            config = make_config(runner.model, {**runner.config, **point})
            costs.append(measure_cost(runner.model, runner.dataset, config, runner.settings))
        except InputError as error:  # as in the search, where such a trial fails
            errors.append(error)
    if not costs:
        raise errors[0]
    return Estimate(
        trials=search.size,
        start_seconds=mean(cost.start_seconds for cost in costs),
        epoch_seconds=tuple(cost.epoch_seconds for cost in costs),
        epochs=numbers_of_epochs(runner.settings),
        peak_bytes=max((cost.peak_bytes for cost in costs if cost.peak_bytes is not None), default=None),
        available_bytes=available_memory(),
    )


def _points(search: "Search") -> list[Point]:
    """Combinations in random order, the first one of the search first."""
    draws = random.Random(0)
    space = search.space
    if space.size is not None and space.size <= search.most:
        points = list(space.points())
        draws.shuffle(points)
    else:
        points = [space.draw(draws) for _ in range(search.most)]
    return points if search.first is None else [search.first, *points]


def distinct_costs(
    combinations: Iterable[Combination], hyperparameters: Callable[[Combination], Mapping[str, object]]
) -> list[Combination]:
    """At most six combinations that differ in cost, the first one of each kind.

    Args:
        combinations: what to choose from.
        hyperparameters: of a combination.
    """
    found: dict[str, Combination] = {}
    for each in combinations:
        costly = {name: value for name, value in hyperparameters(each).items() if not isinstance(value, float)}
        found.setdefault(repr(costly), each)
    return list(found.values())[:_MOST_COSTS]


@flush_denormals()
def measure_cost(model: str | type[Recommender], dataset: Dataset, config: ModelConfig, settings: Settings) -> Cost:
    """Train for two to six epochs, fewer the longer they are, or for one if it takes more than a minute.

    Raises:
        InputError: the model cannot be trained on the data, for example because memory runs out.
    """
    settings = settings.model_copy(update={"epochs": _MOST_EPOCHS, "patience": _MOST_EPOCHS})
    validate = make_validation(dataset, settings, None)
    reset_peak()
    clock = _Clock()
    with memory_errors(find_model(model).name):
        built = build_model(model, dataset, config, settings)
        fit(built, dataset.train, settings, validate, callbacks=[clock])
    if not clock.epochs:  # a model without weights
        return Cost(time.perf_counter() - clock.start, 0.0, peak_bytes())
    epoch = mean(clock.epochs[1:] or clock.epochs)  # not the median: the search waits for slow epochs too
    return Cost(max(clock.until_first - epoch, 0.0), epoch, peak_bytes())


class _Clock(Callback):
    """Measures epochs with their validations, until they are enough."""

    def __init__(self) -> None:
        self.start = self._before = time.perf_counter()
        self.until_first = 0.0
        self.epochs: list[float] = []

    def on_start(self, _start: TrainingStart) -> None:
        self._before = time.perf_counter()

    def on_epoch(self, _epoch: EpochEnd) -> str | None:
        now = time.perf_counter()
        self.epochs.append(now - self._before)
        self._before = now
        if len(self.epochs) == 1:
            self.until_first = now - self.start
        is_enough = len(self.epochs) > 1 and sum(self.epochs) > _ENOUGH_SECONDS
        return "measured" if is_enough or self.epochs[0] > _LONG_EPOCH else None


def numbers_of_epochs(settings: Settings) -> tuple[int, int]:
    """The smallest and the largest number of epochs that early stopping allows."""
    first = settings.validate_every
    for epochs in range(first, settings.epochs):
        if out_of_patience(settings, epochs, first, epochs // first - 1):
            return epochs, settings.epochs
    return settings.epochs, settings.epochs
