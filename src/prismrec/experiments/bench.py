"""Time of an epoch and of an evaluation of a model, and the peak memory of the process."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch

from prismrec.data import Dataset
from prismrec.evaluation import evaluate
from prismrec.experiments.train import build_model, make_config
from prismrec.models import Recommender, find_model
from prismrec.ops.device import synchronise
from prismrec.records import Settings
from prismrec.training import Callback, EpochEnd, fit
from prismrec.types import Interactions

METRICS = ("recall", "ndcg", "precision", "map")
CUTOFFS = (5, 10, 20, 50)


@dataclass(frozen=True)
class Timing:
    """The time and memory of one model on one data set.

    Attributes:
        model: its name.
        data: the name of the data set.
        build_seconds: time to build the model, graphs included.
        epoch_seconds: median time of the epochs after the first.
        first_epoch_seconds: time of the first epoch, which warms up.
        epoch_cpu_seconds: median processor time of the same epochs, which other processes disturb less.
        evaluation_seconds: time to embed all users and items, rank all items and compute all metrics for `users` users.
        evaluation_cpu_seconds: processor time of the same.
        users: number of evaluated users.
        peak_bytes: peak memory of this process so far; None on systems that do not report it.
    """

    model: str
    data: str
    build_seconds: float
    epoch_seconds: float
    first_epoch_seconds: float
    epoch_cpu_seconds: float
    evaluation_seconds: float
    evaluation_cpu_seconds: float
    users: int
    peak_bytes: int | None


def time_model(
    name: str,
    dataset: Dataset,
    config: Mapping[str, object] | None = None,
    *,
    epochs: int = 3,
    device: str = "auto",
    precision: str = "float32",
    evaluated: Interactions | None = None,
) -> Timing:
    """Train for one epoch to warm up and `epochs` more, then evaluate once to warm up and once more.

    Args:
        name: name of the model.
        dataset: the data to train on.
        config: hyperparameters that differ from the defaults.
        epochs: number of measured epochs.
        device: auto, cpu or cuda.
        precision: float32 or bf16.
        evaluated: the held-out pairs; None means the validation split.

    Raises:
        InputError: a name is unknown, or a value or the data cannot be used.
    """
    held_out = dataset.valid if evaluated is None else evaluated
    settings = Settings.model_validate({"epochs": epochs + 1, "device": device, "precision": precision})
    start = time.perf_counter()
    model = build_model(name, dataset, make_config(name, config or {}), settings)
    build = time.perf_counter() - start
    seconds, cpu_seconds = _time_epochs(model, dataset.train, settings)
    evaluate_once(model, dataset.train, held_out)
    before = time.process_time()
    evaluation = timed(lambda: evaluate_once(model, dataset.train, held_out))
    return Timing(
        model=find_model(name).name,
        data=dataset.name,
        build_seconds=build,
        epoch_seconds=median(seconds[1:] or seconds),
        first_epoch_seconds=seconds[0],
        epoch_cpu_seconds=median(cpu_seconds[1:] or cpu_seconds),
        evaluation_seconds=evaluation,
        evaluation_cpu_seconds=time.process_time() - before,
        users=int((held_out.user_degrees > 0).sum()),
        peak_bytes=peak_bytes(),
    )


def _time_epochs(model: Recommender, train: Interactions, settings: Settings) -> tuple[list[float], list[float]]:
    """Wall time and processor time of each epoch; a single 0 for a model without weights."""
    clock = _Clock()
    fit(model, train, settings, callbacks=[clock])
    return clock.seconds or [0.0], [after - before for before, after in pairwise(clock.cpu)] or [0.0]


class _Clock(Callback):
    """Notes the times of each epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.cpu = [time.process_time()]

    def on_epoch(self, epoch: EpochEnd) -> None:
        self.seconds.append(epoch.record.seconds)
        self.cpu.append(time.process_time())


def evaluate_once(model: Recommender, train: Interactions, held_out: Interactions) -> dict[str, float]:
    """Embed all users and items, rank all items for all users with held-out pairs, and compute all metrics."""
    model.eval()
    with torch.no_grad():
        embeddings = model.embed()
    return evaluate(embeddings, held_out, mask=[train], metrics=METRICS, cutoffs=CUTOFFS).to_dict()


def timed(action: Callable[[], object]) -> float:
    """Wall time of a call, including its work on a GPU."""
    synchronise()
    start = time.perf_counter()
    action()
    synchronise()
    return time.perf_counter() - start


def peak_bytes() -> int | None:
    """Peak memory of this process; unlike the figure of getrusage, it does not include the parent process."""
    if sys.platform != "linux":
        return None
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), None)


def reset_peak() -> None:
    """Reset the peak memory of this process. It works on Linux only, and not always."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return
