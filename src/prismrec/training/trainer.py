"""The one training loop, for all models."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt
from torch import Tensor

from prismrec.errors import InputError
from prismrec.models.base import Recommender
from prismrec.training.checkpoint import (
    Checkpoint,
    CheckpointFolder,
    EpochRecord,
    Progress,
    copy_weights,
)
from prismrec.training.optimizer import Adam
from prismrec.training.processor import denormals_flushed, keep_freed_memory
from prismrec.training.sampling import Sampler
from prismrec.training.steps import Steps
from prismrec.types import Embeddings, Interactions, Triplets

Validate = Callable[[Embeddings], Mapping[str, float]]


class Settings(BaseModel):
    """How a run is run; what the model is stands in its config."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    seed: NonNegativeInt = 0
    """Decides first weights, batches, negatives, noise; the same seed gives the same bits on one CPU, and on a GPU
    the same but for rounding, since it adds in no fixed order."""
    epochs: PositiveInt = 1000
    """At most this many."""
    patience: PositiveInt = 20
    """Stop after this many validations without a better one."""
    validate_every: PositiveInt = 1
    """Epochs from one validation to the next."""
    metric: str = "recall@20"
    """The validation metric by which the best epoch is chosen."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto`: a GPU where there is one."""
    precision: Literal["float32", "bf16"] = "float32"
    """Of products with constant features, in models that have such; `bf16` rounds features, their weights and gradients
    to 8 bits of mantissa for the product, which halves the memory of features and is faster where the processor has
    units for it. Everything else is float32 all the same."""


class NonFiniteLossError(InputError):
    """Training ran into NaN or infinity."""


@dataclass(frozen=True)
class Trained:
    """What training gives: the best epoch's embeddings and weights, and the way there."""

    embeddings: Embeddings
    weights: dict[str, Tensor]
    progress: Progress


def pick_device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device meant by a setting.

    Raises:
        InputError: `cuda` where PyTorch finds no GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device", "'cuda'", "'cpu' or 'auto': PyTorch finds no GPU here")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


@denormals_flushed()
def fit(
    model: Recommender,
    train: Interactions,
    settings: Settings,
    validate: Validate | None = None,
    *,
    checkpoints: CheckpointFolder | None = None,
    report: Callable[[EpochRecord], None] | None = None,
) -> Trained:
    """Fit a model and return its best epoch by the validation metric; without `validate`, its last.

    Args:
        model: freshly built; where `checkpoints` hold a state, it is taken up from there.
        train: the training interactions.
        settings: seed, epochs, patience, device.
        validate: embeddings to validation metrics, among them `settings.metric`.
        checkpoints: where to leave and find the state of an interrupted run.
        report: called with each epoch's record, also with those of the run taken up.

    Raises:
        NonFiniteLossError: a loss term became NaN or infinite.
    """
    device = pick_device(settings.device)
    if device.type == "cpu":
        keep_freed_memory()
    model.to(device)
    run = _Run(model, Sampler(train, model.config.sampler, model.config.batch_size, device), settings, device)
    run.take_up(checkpoints.load() if checkpoints else None, report)
    while not run.finished:
        run.epoch(validate)
        if report:
            report(run.progress.history[-1])
        if checkpoints and not run.finished:
            checkpoints.save_in_time(run.checkpoint())
    return run.result()


class _Run:
    """The state of one call of `fit`."""

    def __init__(self, model: Recommender, sampler: Sampler, settings: Settings, device: torch.device) -> None:
        self.model, self.sampler, self.settings, self.device = model, sampler, settings, device
        self.progress = Progress()
        self.best_weights: dict[str, Tensor] = {}
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        config = model.config
        self.optimizer = (
            Adam(parameters, model.drifting_parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
            if parameters
            else None
        )
        self.totals: dict[str, Tensor] = {}
        self.steps = Steps(device, record=model.repeats_steps)

    @property
    def finished(self) -> bool:
        exhausted = len(self.progress.history) >= self.settings.epochs
        impatient = self.progress.validations_since_best >= self.settings.patience
        return exhausted or impatient or self.optimizer is None

    def take_up(self, checkpoint: Checkpoint | None, report: Callable[[EpochRecord], None] | None) -> None:
        if checkpoint is None or self.optimizer is None:
            return
        self.model.load_state_dict(checkpoint.weights)
        self.optimizer.restore(checkpoint.optimizer)
        self.best_weights, self.progress = checkpoint.best_weights, checkpoint.progress
        if report is not None:
            for record in self.progress.history:
                report(record)

    def checkpoint(self) -> Checkpoint:
        assert self.optimizer is not None
        return Checkpoint(copy_weights(self.model), self.optimizer.state(), self.best_weights, self.progress)

    def epoch(self, validate: Validate | None) -> None:
        epoch = len(self.progress.history)
        start = time.perf_counter()
        with self.steps.stream():
            loss = self._train(epoch)
        seconds = time.perf_counter() - start
        due = validate is not None and (epoch + 1) % self.settings.validate_every == 0
        metrics = dict(validate(self._embed())) if validate is not None and due else None
        record = EpochRecord(epoch=epoch + 1, loss=loss, seconds=seconds, valid=metrics)
        self.progress = self.progress.model_copy(update={"history": (*self.progress.history, record)})
        if metrics is not None:
            self._judge(epoch + 1, metrics)

    def _train(self, epoch: int) -> dict[str, float]:
        assert self.optimizer is not None
        config = self.model.config
        self.optimizer.lr = config.learning_rate * config.lr_decay ** (epoch / config.lr_decay_epochs)
        # Seeding each epoch by itself makes an epoch a function of the weights at its start: a resumed run repeats it.
        seeds = np.random.SeedSequence([self.settings.seed, epoch]).generate_state(3, np.uint64).tolist()
        torch.manual_seed(seeds[0] >> 1)
        self.model.train()
        for total in self.totals.values():
            total.zero_()
        if type(self.model).start_epoch is not Recommender.start_epoch:
            self.steps.forget()  # what it makes anew, a recorded step would not see
        self.model.start_epoch(epoch, torch.Generator().manual_seed(seeds[1] >> 1))
        for batch in self.sampler.epoch(torch.Generator(self.device).manual_seed(seeds[2] >> 1)):
            if self.steps.take(self._step, batch):
                self.optimizer.step_repeated()
        self.optimizer.catch_up()
        means = {name: float(total) / self.sampler.batches_per_epoch for name, total in self.totals.items()}
        for name, mean in means.items():
            if not math.isfinite(mean):
                raise NonFiniteLossError(
                    f"loss term {name!r}, epoch {epoch + 1}",
                    str(mean),
                    "a finite number: try a lower learning_rate, or features of smaller scale",
                )
        return means

    def _step(self, batch: Triplets) -> None:
        assert self.optimizer is not None
        self.optimizer.zero_grad()
        terms = self.model.loss(batch)
        torch.stack(list(terms.values())).sum().backward()
        self.optimizer.step()
        for name, term in terms.items():
            if name not in self.totals:
                self.totals[name] = torch.zeros_like(term)
            self.totals[name].add_(term.detach())

    def _embed(self) -> Embeddings:
        self.model.eval()
        with torch.no_grad():
            embeddings = self.model.embed()
        return Embeddings(embeddings.users.detach(), embeddings.items.detach())

    def _judge(self, epoch: int, metrics: dict[str, float]) -> None:
        score = metrics[self.settings.metric]
        best = self.progress.best_score
        if best is None or score > best:
            self.best_weights = copy_weights(self.model)
            update = {"best_epoch": epoch, "best_score": score, "validations_since_best": 0}
        else:
            update = {"validations_since_best": self.progress.validations_since_best + 1}
        self.progress = self.progress.model_copy(update=update)

    def result(self) -> Trained:
        if self.best_weights:
            self.model.load_state_dict(self.best_weights)
        return Trained(self._embed().detached(), copy_weights(self.model), self.progress)
