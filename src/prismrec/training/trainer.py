"""The one training loop, for all models."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prismrec.errors import InputError
from prismrec.models.base import Recommender
from prismrec.ops.device import flush_denormals, pick_device, preserve_rng
from prismrec.ops.recording import StepRecorder
from prismrec.records import EpochRecord, Settings
from prismrec.training.checkpoint import (
    Checkpoint,
    CheckpointFolder,
    Progress,
    copy_optimizer_state,
    copy_weights,
    restore_optimizer_state,
)
from prismrec.training.optimizer import Adam
from prismrec.training.sampling import Sampler
from prismrec.types import Embeddings, Interactions, Triplets

Validate = Callable[[Embeddings], Mapping[str, float]]


class NonFiniteLossError(InputError):
    """A loss term became NaN or infinite."""


@dataclass(frozen=True)
class Trained:
    """The result of training: embeddings and weights of the best epoch, and the progress."""

    embeddings: Embeddings
    weights: dict[str, Tensor]
    progress: Progress


@flush_denormals()
def fit(
    model: Recommender,
    train: Interactions,
    settings: Settings,
    validate: Validate | None = None,
    *,
    checkpoints: CheckpointFolder | None = None,
    report: Callable[[EpochRecord], None] | None = None,
) -> Trained:
    """Fit a model and return its best epoch by the validation metric, or its last epoch without `validate`.

    The states of PyTorch's global random generators are restored.

    Args:
        model: a new model; if `checkpoints` hold a state, training resumes from it.
        train: the training interactions.
        settings: seed, epochs, patience, device.
        validate: maps embeddings to validation metrics, which include `settings.metric`.
        checkpoints: where to save and find the state of an interrupted run.
        report: called with the record of each epoch, and with the past records of a resumed run.

    Raises:
        InputError: the device is not available, there is no negative to draw, or the checkpoint is damaged.
        NonFiniteLossError: a loss term became NaN or infinite.
    """
    device = pick_device(settings.device)
    with preserve_rng(device):
        return _Run(model, train, settings, device).run(validate, checkpoints, report)


class _Run:
    """The state of one call of `fit`."""

    def __init__(self, model: Recommender, train: Interactions, settings: Settings, device: torch.device) -> None:
        self.model = model.to(device)
        self.settings = settings
        self.device = device
        self.progress = Progress()
        self.best_weights: dict[str, Tensor] = {}
        self.loss_sums: dict[str, Tensor] = {}
        self.recorder = StepRecorder(device, record=model.repeats_steps)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.trains = bool(trained)
        if self.trains:
            self.optimizer = _optimizer(model, trained)
            self.sampler = Sampler(train, model.config.sampler, model.config.batch_size, device)

    def run(
        self,
        validate: Validate | None,
        checkpoints: CheckpointFolder | None,
        report: Callable[[EpochRecord], None] | None,
    ) -> Trained:
        if checkpoints and self.trains:
            self._resume(checkpoints)
        for record in self.progress.history:
            if report:
                report(record)
        while not self._finished:
            self._run_epoch(validate)
            if report:
                report(self.progress.history[-1])
            if checkpoints and not self._finished:
                checkpoints.save_if_due(self._checkpoint())
        if self.best_weights:
            self.model.load_state_dict(self.best_weights)
        return Trained(self._embed().detached(), copy_weights(self.model), self.progress)

    @property
    def _finished(self) -> bool:
        exhausted = len(self.progress.history) >= self.settings.epochs
        impatient = self.progress.validations_since_best >= self.settings.patience
        return exhausted or impatient or not self.trains

    def _resume(self, checkpoints: CheckpointFolder) -> None:
        checkpoint = checkpoints.load()
        if checkpoint is None:
            return
        try:
            if checkpoint.best_weights:
                self.model.load_state_dict(checkpoint.best_weights)  # raises if they do not fit
            self.model.load_state_dict(checkpoint.weights)
            restore_optimizer_state(self.model, self.optimizer, checkpoint.optimizer)
        except (RuntimeError, ValueError) as error:
            raise InputError(checkpoints.folder, str(error), "the checkpoint of this model and data") from error
        self.best_weights = checkpoint.best_weights
        self.progress = checkpoint.progress

    def _checkpoint(self) -> Checkpoint:
        state = copy_optimizer_state(self.model, self.optimizer)
        return Checkpoint(copy_weights(self.model), state, self.best_weights, self.progress)

    def _run_epoch(self, validate: Validate | None) -> None:
        epoch = len(self.progress.history)
        start = time.perf_counter()
        with self.recorder.stream():
            loss = self._train(epoch)
        seconds = time.perf_counter() - start
        metrics = None
        if validate is not None and (epoch + 1) % self.settings.validate_every == 0:
            metrics = dict(validate(self._embed()))
        record = EpochRecord(epoch=epoch + 1, loss=loss, seconds=seconds, valid=metrics)
        self.progress = self.progress.model_copy(update={"history": (*self.progress.history, record)})
        if metrics is not None:
            self._update_best(epoch + 1, metrics[self.settings.metric])

    def _train(self, epoch: int) -> dict[str, float]:
        """One epoch; returns the mean of each loss term."""
        config = self.model.config
        self.optimizer.set_lr(config.learning_rate * config.lr_decay ** (epoch / config.lr_decay_epochs))
        # Separate seeds per epoch make an epoch a function of the weights at its start, so a resumed run repeats it.
        seeds = np.random.SeedSequence([self.settings.seed, epoch]).generate_state(3, np.uint64).tolist()
        torch.manual_seed(seeds[0] >> 1)
        self.model.train()
        for total in self.loss_sums.values():
            total.zero_()
        if type(self.model).start_epoch is not Recommender.start_epoch:
            self.recorder.forget()  # a recorded step would not see what the model prepares
        self.model.start_epoch(epoch, torch.Generator().manual_seed(seeds[1] >> 1))
        for batch in self.sampler.epoch(torch.Generator(self.device).manual_seed(seeds[2] >> 1)):
            self.recorder.run(self._step, batch)
        self.optimizer.apply_deferred_steps()
        means = {name: float(total) / self.sampler.batches_per_epoch for name, total in self.loss_sums.items()}
        for name, mean in means.items():
            if not math.isfinite(mean):
                expected = "a finite number: try a lower learning_rate, or features of smaller scale"
                raise NonFiniteLossError(f"loss term {name!r}, epoch {epoch + 1}", str(mean), expected)
        return means

    def _step(self, batch: Triplets) -> None:
        self.optimizer.zero_grad()
        terms = self.model(batch)
        torch.stack(list(terms.values())).sum().backward()
        self.optimizer.step()
        for name, term in terms.items():
            if name not in self.loss_sums:
                self.loss_sums[name] = torch.zeros_like(term)
            self.loss_sums[name].add_(term.detach())

    @torch.no_grad()
    def _embed(self) -> Embeddings:
        self.model.eval()
        embeddings = self.model.embed()
        return Embeddings(embeddings.users.detach(), embeddings.items.detach())

    def _update_best(self, epoch: int, score: float) -> None:
        best = self.progress.best_score
        if best is None or score > best:
            self.best_weights = copy_weights(self.model)
            update = {"best_epoch": epoch, "best_score": score, "validations_since_best": 0}
        else:
            update = {"validations_since_best": self.progress.validations_since_best + 1}
        self.progress = self.progress.model_copy(update=update)


def _optimizer(model: Recommender, trained: list[torch.nn.Parameter]) -> Adam:
    """Adam with the settings of the config, and with a group of the weights that drift."""
    drifting = set(model.drifting_parameters())
    steady = [parameter for parameter in trained if parameter not in drifting]
    groups: list[dict[str, Any]] = [
        {"params": steady},
        {"params": [parameter for parameter in trained if parameter in drifting], "absent_is_zero": True},
    ]
    config = model.config
    return Adam(groups, lr=config.learning_rate, weight_decay=config.weight_decay)
