"""How long a model's epoch and its evaluation take, and how much memory the process had at most."""

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
from prismrec.models import Recommender, canonical_name
from prismrec.training import EpochRecord, Settings, fit
from prismrec.types import Interactions

METRICS = ("recall", "ndcg", "precision", "map")
CUTOFFS = (5, 10, 20, 50)


@dataclass(frozen=True)
class Timing:
    """What one model needs on one data set.

    Attributes:
        model: its name.
        data: the name of the data set.
        build_seconds: for the model, graphs included, once.
        epoch_seconds: the median over the epochs after the first.
        first_epoch_seconds: of the first one, which warms up.
        epoch_cpu_seconds: the median of the processor time of the same epochs, which other work disturbs less.
        evaluation_seconds: embedding everything, ranking all items, all metrics; of `users` users.
        evaluation_cpu_seconds: its processor time.
        users: users evaluated.
        peak_bytes: most memory this process ever held so far, None where the system does not tell.
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
    """Train for one epoch and `epochs` more, then rank all items once to warm up and once more on the clock.

    Args:
        name: of the model.
        dataset: what to train on.
        config: hyperparameters that differ from the defaults.
        epochs: measured, after the first.
        device: auto, cpu or cuda.
        precision: float32 or bf16.
        evaluated: the held-out pairs; the validation split if not given.

    Raises:
        InputError: an unknown name, an unusable value, or data that the model cannot learn from.
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
        model=canonical_name(name),
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
    """Seconds of each epoch, by the wall's clock and of processor time; one of 0 for a model without weights."""
    seconds: list[float] = []
    cpu = [time.process_time()]

    def note(record: EpochRecord) -> None:
        seconds.append(record.seconds)
        cpu.append(time.process_time())

    fit(model, train, settings, report=note)
    return seconds or [0.0], [after - before for before, after in pairwise(cpu)] or [0.0]


def evaluate_once(model: Recommender, train: Interactions, held_out: Interactions) -> dict[str, float]:
    """Embed everything and rank all items for all users with held-out pairs; training pairs are left out."""
    model.eval()
    with torch.no_grad():
        embeddings = model.embed()
    return evaluate(embeddings, held_out, mask=[train], metrics=METRICS, cutoffs=CUTOFFS).to_dict()


def timed(action: Callable[[], object]) -> float:
    """Seconds that it takes, on the GPU too where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    action()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_bytes() -> int | None:
    """The most memory this process has held; unlike getrusage's figure not that of the process that started it."""
    if sys.platform != "linux":
        return None
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
