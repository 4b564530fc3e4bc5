"""The one training loop, for all models."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prismrec.errors import InputError
from prismrec.models.base import Recommender
from prismrec.ops.device import flush_denormals, pick_device, preserve_rng
from prismrec.ops.recording import StepRecorder
from prismrec.ops.waiting import adaptive_waiting
from prismrec.process import warn_of_excess_threads
from prismrec.records import EpochRecord, Settings
from prismrec.stopping import find_ending, out_of_patience
from prismrec.training.callbacks import Callback, CallbackList, EpochEnd, TrainingEnd, TrainingStart
from prismrec.training.checkpoint import (
    Checkpoint,
    CheckpointFolder,
    Progress,
    copy_optimizer_state,
    copy_weights,
    restore_optimizer_state,
)
from prismrec.training.custom import CheckedSampler, CustomParts, LossTerm, Start, TripletSampler, custom_terms
from prismrec.training.divergence import check_loss, check_weights
from prismrec.training.optimizer import Adam
from prismrec.training.outputs import check_embeddings, check_terms
from prismrec.training.sampling import Sampler
from prismrec.training.signals import HeldSignals
from prismrec.types import Embeddings, Interactions, Triplets

Validate = Callable[[Embeddings], Mapping[str, float]]


@dataclass(frozen=True)
class Trained:
    """The result of training: embeddings and weights of the best epoch, and the progress."""

    embeddings: Embeddings
    weights: dict[str, Tensor]
    progress: Progress
    stop_reason: str
    """Why the training ended."""
    chosen: Mapping[str, float]
    """Hyperparameters that the model chose itself."""


@flush_denormals()
def fit(
    model: Recommender,
    train: Interactions,
    settings: Settings,
    validate: Validate | None = None,
    *,
    checkpoints: CheckpointFolder | None = None,
    callbacks: Sequence[Callback] = (),
    sampler: TripletSampler | None = None,
    loss_terms: Mapping[str, LossTerm] | None = None,
    start: Start | None = None,
) -> Trained:
    """Fit a model and return its best epoch by the validation metric, or its last epoch without `validate`.

    The states of PyTorch's global random generators are restored. With `checkpoints`, Ctrl-C stops the training when
    its last whole epoch is saved.

    Args:
        model: a new model; if `checkpoints` hold a state, training resumes from it.
        train: the training interactions.
        settings: seed, epochs, patience, device.
        validate: maps embeddings to validation metrics, which include `settings.metric`.
        checkpoints: where to save and find the state of an interrupted run.
        callbacks: called at the start, after each epoch and at the end; each may stop the training.
        sampler: draws the batches instead of the sampler of the config.
        loss_terms: further terms of the loss by name, already weighted.
        start: changes the weights before the first epoch, after the model has chosen its hyperparameters.

    Raises:
        InputError: the device is not available, there is no negative to draw, a batch of `sampler` or a term of
            `loss_terms` cannot be used, or the checkpoint is damaged.
        DivergenceError: a loss term or a weight became NaN, infinite or too large.
    """
    warn_of_excess_threads(torch.get_num_threads())
    device = pick_device(settings.device)
    with preserve_rng(device), adaptive_waiting():
        custom = CustomParts(sampler, loss_terms or {}, start)
        return _Run(model, train, settings, device, custom).run(validate, checkpoints, CallbackList(callbacks))


class _Run:
    """The state of one call of `fit`."""

    def __init__(
        self, model: Recommender, train: Interactions, settings: Settings, device: torch.device, custom: CustomParts
    ) -> None:
        self.model = model.to(device)
        self.settings = settings
        self.device = device
        self.progress = Progress()
        self.best_weights: dict[str, Tensor] = {}
        self.loss_sums: dict[str, Tensor] = {}
        self.loss_terms = custom.loss_terms
        self.start = custom.start
        self.stop_request: str | None = None  # the reason of a callback
        # A term of the caller may make the host wait for the GPU, which cannot be recorded.
        self.recorder = StepRecorder(device, record=model.repeats_steps and not custom.loss_terms)
        self.trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if self.trained:
            self.optimizer = _optimizer(model, self.trained)
            self.sampler = _sampler(train, model, device, custom.sampler)

    def run(self, validate: Validate | None, checkpoints: CheckpointFolder | None, callbacks: CallbackList) -> Trained:
        if checkpoints and self.trained:
            self._resume(checkpoints)
        try:
            start = TrainingStart(self.model.name, self.model.config, self.settings, self.progress.history)
            callbacks.start(start)
            if validate is not None and not self.progress.history:
                self._choose(self.model.select, validate)
            if self.start is not None and not self.progress.history:
                self.start(self.model)  # after select, from which Prism takes its first weights
            self._run_epochs(validate, checkpoints, callbacks)
        except BaseException as error:
            callbacks.end(self._end(str(error) or type(error).__name__, error))
            raise
        callbacks.end(self._end(self._stop_reason))
        if self.best_weights:
            self.model.load_state_dict(self.best_weights)
        if validate is not None:
            self._choose(self.model.refine, validate)
        embeddings = self._embed().detached()
        return Trained(embeddings, copy_weights(self.model), self.progress, self._stop_reason, self.model.chosen)

    def _run_epochs(
        self, validate: Validate | None, checkpoints: CheckpointFolder | None, callbacks: CallbackList
    ) -> None:
        with HeldSignals() as signals:
            while not self._stop_reason:
                self._run_epoch(validate)
                if checkpoints:
                    signals.hold()
                record = self.progress.history[-1]
                embeddings = partial(self._embeddings_after, record.epoch)
                self.stop_request = callbacks.epoch(EpochEnd(record, self.progress.best_epoch, embeddings))
                self._replace_last_record(record.model_copy(update={"stop": self.stop_request}))
                if checkpoints and (checkpoints.is_due or signals.pending or self._stop_reason):
                    checkpoints.save(self._checkpoint())
                    signals.release()

    @property
    def _stop_reason(self) -> str:
        """Why no further epoch follows; empty if one follows."""
        if not self.trained:
            return "the model has no weights to train"
        progress, epochs = self.progress, len(self.progress.history)
        impatient = out_of_patience(self.settings, epochs, progress.best_epoch, progress.validations_since_best)
        if self.stop_request is None and not impatient and epochs < self.settings.epochs:
            return ""
        return find_ending(progress.history, self.settings).describe(self.settings.metric)

    def _replace_last_record(self, record: EpochRecord) -> None:
        history = (*self.progress.history[:-1], record)
        self.progress = self.progress.model_copy(update={"history": history})

    def _end(self, reason: str, error: BaseException | None = None) -> TrainingEnd:
        return TrainingEnd(reason, len(self.progress.history), self.progress.best_epoch, error)

    def _embeddings_after(self, epoch: int) -> Embeddings:
        """Copies of the embeddings after the last epoch, for a callback.

        Raises:
            RuntimeError: the training has gone on since.
        """
        if epoch != len(self.progress.history):
            raise RuntimeError(f"the embeddings of epoch {epoch} are gone: call embeddings() within on_epoch")
        with preserve_rng(self.device):  # a callback must not change what a model draws next
            return self._embed().detached()

    @torch.no_grad()
    def _choose(self, choose: Callable[[Callable[[Embeddings], float]], None], validate: Validate) -> None:
        """Let the model choose hyperparameters by the validation metric."""
        self.model.eval()
        choose(lambda embeddings: validate(embeddings)[self.settings.metric])

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
        batches = 0
        for batch in self.sampler.epoch(torch.Generator(self.device).manual_seed(seeds[2] >> 1)):
            self.recorder.run(self._step, batch)
            batches += 1
        self.optimizer.apply_deferred_steps()
        means = {name: float(total) / batches for name, total in self.loss_sums.items()}
        check_loss(means, epoch + 1)
        check_weights(self.trained, epoch + 1)
        return means

    def _step(self, batch: Triplets) -> None:
        self.optimizer.zero_grad()
        terms = self.model(batch)
        check_terms(self.model, terms)
        if self.loss_terms:
            terms = {**terms, **custom_terms(self.loss_terms, self.model, batch, terms)}
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
        check_embeddings(self.model, embeddings)
        return Embeddings(embeddings.users.detach().float(), embeddings.items.detach().float())

    def _update_best(self, epoch: int, score: float) -> None:
        best = self.progress.best_score
        if best is None or score > best:
            self.best_weights = copy_weights(self.model)
            update = {"best_epoch": epoch, "best_score": score, "validations_since_best": 0}
        else:
            update = {"validations_since_best": self.progress.validations_since_best + 1}
        self.progress = self.progress.model_copy(update=update)


def _sampler(
    train: Interactions, model: Recommender, device: torch.device, custom: TripletSampler | None
) -> TripletSampler:
    if custom is None:
        return Sampler(train, model.config.sampler, model.batch_size, device)
    return CheckedSampler(custom, train, device)


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
