"""From a data set to a run: build the model, train it, choose the epoch on validation, save it."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from pydantic import ValidationError

from prismrec.data import Dataset
from prismrec.errors import InputError
from prismrec.evaluation import ValidationMetric
from prismrec.experiments.arguments import check_arguments, check_modes
from prismrec.experiments.environment import make_manifest
from prismrec.experiments.features import features_for
from prismrec.experiments.run_folder import find_new, find_resumed, saved_epochs
from prismrec.experiments.validation import make_validation, name_metric
from prismrec.experiments.warm_start import Source, WarmStart, find_source
from prismrec.experiments.weights import check_disk, limited_weights, memory_errors
from prismrec.models import ModelConfig, Recommender, find_model
from prismrec.ops.device import flush_denormals, pick_device, preserve_rng
from prismrec.ops.waiting import adaptive_waiting
from prismrec.parameters import refusal
from prismrec.records import Settings
from prismrec.retrieval import MapSettings
from prismrec.retrieval.features import unit_features
from prismrec.runs import CustomNames, Manifest, Run, locked
from prismrec.runs.lock import Lock
from prismrec.runs.newcomers import choose_newcomers
from prismrec.training import (
    Callback,
    CheckpointFolder,
    EpochEnd,
    LossTerm,
    TripletSampler,
    Validate,
    fit,
    name_of,
)


def make_config(model: str | type[Recommender], settings: Mapping[str, object]) -> ModelConfig:
    """The config of a model with some hyperparameters set; strings are parsed as the type of the field.

    Raises:
        InputError: the model or a hyperparameter is unknown, or a value is outside its limits.
    """
    config = find_model(model).Config
    try:
        return config.model_validate(dict(settings))
    except ValidationError as error:
        raise refusal(error, config, "config.", find_model(model).name) from error


def check_modalities(model: type[Recommender], dataset: Dataset) -> None:
    """Refuse a data set that lacks the modalities that a model needs.

    Raises:
        InputError: it does.
    """
    if len(dataset.features) < model.min_modalities:
        expected = f"{model.min_modalities} or more for {model.name}"
        if not dataset.features:
            expected += "; `prismrec features` makes them of pictures and texts"
        raise InputError(dataset.name, f"{len(dataset.features)} modalities", expected)


def settled_config(run: Run) -> ModelConfig:
    """The config of a run, with the hyperparameters that its model chose."""
    known = find_model(run.manifest.model).Config.model_fields
    chosen = {name: value for name, value in run.chosen.items() if name in known}
    return make_config(run.manifest.model, {**run.manifest.config, **chosen})


def build_model(
    model: str | type[Recommender], dataset: Dataset, config: ModelConfig, settings: Settings
) -> Recommender:
    """A new model, whose initial weights are a function of the seed.

    The state of PyTorch's global random generator is restored.

    Raises:
        InputError: the data set lacks the modalities that the model needs, or the model refuses the config or the
            precision.
    """
    kind = find_model(model)
    check_modalities(kind, dataset)
    features = features_for(kind, dataset, settings)
    with preserve_rng(), adaptive_waiting():
        torch.manual_seed(settings.seed)
        try:
            with memory_errors(kind.name), limited_weights(kind.name):
                return kind(dataset.train, features, config)
        except InputError:
            raise
        except ValueError as error:  # how a model refuses a combination of config and data
            raise InputError(kind.name, str(error), "a config that fits the data") from error


@flush_denormals()  # before the model is built, because threads inherit the mode when they start
def train(
    model: str | type[Recommender],
    dataset: Dataset,
    config: ModelConfig | Mapping[str, object] | None = None,
    settings: Settings | None = None,
    *,
    out: Path | str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    init: Run | Path | str | None = None,
    callbacks: Sequence[Callback] = (),
    metric: ValidationMetric | None = None,
    sampler: TripletSampler | None = None,
    loss_terms: Mapping[str, LossTerm] | None = None,
    newcomers: MapSettings | None = None,
) -> Run:
    """Train one model and, with `out`, write a run directory. The test split is not used before the model is chosen.

    Args:
        model: its name, as in `prismrec models`, its class, or "package.module:Class".
        dataset: the data to learn from.
        config: hyperparameters; those left out keep their defaults.
        settings: seed, epochs, patience, device.
        out: a new or empty folder for the run.
        resume: continue the interrupted run in `out`, extend the finished one by more epochs or patience, or load it.
        overwrite: replace the run in `out`, which can be used until the new run is complete.
        init: a run of this model whose weights to start from, matched by the ids of users and items.
        callbacks: called at the start of the training, after each epoch and at the end.
        metric: the validation metric that chooses the epoch, instead of the one that `settings` name.
        sampler: draws the batches, instead of the sampler that `config` names.
        loss_terms: further terms of the loss by name, already weighted.
        newcomers: how the run embeds new users; None chooses it on the validation split.

    Raises:
        InputError: a name is unknown, a value or the data cannot be used, or `out` holds something else.
    """
    check_arguments(model, dataset, config, settings, out, callbacks, metric, sampler, loss_terms)
    check_modes(resume=resume, overwrite=overwrite)
    kind, settings = find_model(model), name_metric(settings or Settings(), metric)
    pick_device(settings.device)  # refuse an absent device before anything is written
    full = config if isinstance(config, ModelConfig) else make_config(kind, config or {})
    source = None if init is None else Source.of(init, kind)
    manifest = make_manifest(kind.name, dataset, full, settings, _name_custom(metric, sampler, loss_terms))
    build = partial(_build, kind, dataset, full, settings)
    validate = make_validation(dataset, settings, metric)
    fit_model = partial(_fit, dataset, validate=validate, sampler=sampler, loss_terms=loss_terms, newcomers=newcomers)
    if out is None:
        recommender, start = build(source)
        return fit_model(recommender, _record(start, manifest), callbacks, start=start)
    return _train_in_folder(out, manifest, source, build, fit_model, callbacks, resume=resume, overwrite=overwrite)


def _build(
    kind: type[Recommender], dataset: Dataset, config: ModelConfig, settings: Settings, source: Source | None
) -> tuple[Recommender, WarmStart | None]:
    """A new model, and the weights of the source for it."""

    def build(data: Dataset) -> Recommender:
        return build_model(kind, data, config, settings)

    model = build(dataset)
    if source is None:
        return model, None
    start = source.match(model, dataset, build)
    if not start.record.is_complete:
        warnings.warn(f"starts from {start.record.describe()}", stacklevel=4)
    return model, start


def _record(start: Source | WarmStart | None, manifest: Manifest) -> Manifest:
    """The manifest with what is known of the initial weights."""
    return manifest if start is None else manifest.model_copy(update={"init": start.record})


def _train_in_folder(
    out: Path | str,
    manifest: Manifest,
    source: Source | None,
    build: Callable[[Source | None], tuple[Recommender, WarmStart | None]],
    fit_model: Callable[..., Run],
    callbacks: Sequence[Callback],
    *,
    resume: bool,
    overwrite: bool,
) -> Run:
    folder = Path(out)
    manifest = _record(source, manifest)
    with locked(folder) as lock:
        place = find_resumed(folder, manifest) if resume else find_new(folder, manifest, overwrite=overwrite)
        if place is None:
            return Run.load(folder)
        earlier = place.manifest.init
        if source is None and earlier is not None and not saved_epochs(folder):
            source = find_source(earlier, find_model(manifest.model))
        recommender, start = build(source)
        place = replace(place, manifest=_record(start, place.manifest))
        lock.check()
        check_disk(recommender, folder)
        try:
            checkpoints = place.begin()
            run = fit_model(recommender, place.manifest, [_FolderCheck(lock), *callbacks], checkpoints, start=start)
            lock.check()
            run.write(place.target, lock)
        except InputError:
            with suppress(InputError):  # the folder may be gone, or belong to another process
                lock.check()
                place.discard_without_epochs()
            raise
    return replace(run, folder=folder, weights=None)


class _FolderCheck(Callback):
    """Ends a training whose run directory is gone."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock

    def on_epoch(self, _epoch: EpochEnd) -> None:
        self._lock.check()


def _fit(
    dataset: Dataset,
    model: Recommender,
    manifest: Manifest,
    callbacks: Sequence[Callback],
    checkpoints: CheckpointFolder | None = None,
    *,
    start: WarmStart | None,
    validate: Validate | None,
    sampler: TripletSampler | None,
    loss_terms: Mapping[str, LossTerm] | None,
    newcomers: MapSettings | None,
) -> Run:
    with memory_errors(model.name):
        trained = fit(
            model,
            dataset.train,
            manifest.settings,
            validate,
            checkpoints=checkpoints,
            callbacks=callbacks,
            sampler=sampler,
            loss_terms=loss_terms,
            start=start,
        )
    features = {modality: torch.from_numpy(matrix) for modality, matrix in dataset.features.items()}
    return Run(
        folder=None,
        manifest=manifest,
        embeddings=trained.embeddings,
        users=dataset.users,
        items=dataset.items,
        train=dataset.train,
        valid=dataset.valid,
        test=dataset.test,
        catalog=None if dataset.catalog is None else dataset.catalog.drop("item_id"),
        history=trained.progress.history,
        best_epoch=trained.progress.best_epoch or len(trained.progress.history),
        weights=trained.weights,
        chosen=dict(trained.chosen),
        stored_newcomers=choose_newcomers(trained.embeddings, dataset.train, dataset.valid, features, newcomers),
        features=unit_features(dataset.features, dataset.present),
        states={modality: encoding.state for modality, encoding in dataset.encodings.items() if encoding.state},
    )


def _name_custom(
    metric: ValidationMetric | None, sampler: TripletSampler | None, loss_terms: Mapping[str, LossTerm] | None
) -> CustomNames | None:
    """The names of the caller's own parts; None if there are none."""
    if metric is None and sampler is None and not loss_terms:
        return None
    return CustomNames(
        metric=None if metric is None else name_of(metric),
        sampler=None if sampler is None else name_of(sampler),
        loss_terms=tuple(loss_terms or ()),
    )
