"""From a data set to a run: build the model, train it, choose the epoch on validation, save it."""

import platform
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import scipy
import torch
from pydantic import ValidationError

from prismrec.data import Dataset
from prismrec.errors import InputError, ParameterError
from prismrec.evaluation import ValidationMetric
from prismrec.experiments.validation import make_validation, name_metric
from prismrec.files import remove_temporary_files, write_text
from prismrec.models import REGISTRY, ModelConfig, Recommender, find_model
from prismrec.ops import kernels_available
from prismrec.ops.device import flush_denormals, pick_device, preserve_rng
from prismrec.ops.waiting import adaptive_waiting
from prismrec.records import Settings
from prismrec.retrieval import MapSettings
from prismrec.retrieval.features import unit_features
from prismrec.runs import CustomNames, Manifest, Run, locked
from prismrec.runs.lock import LOCK_NAME
from prismrec.runs.newcomers import choose_newcomers
from prismrec.training import Callback, CheckpointFolder, LossTerm, Trained, TripletSampler, fit, name_of


def make_config(model: str | type[Recommender], settings: Mapping[str, object]) -> ModelConfig:
    """The config of a model with some hyperparameters set; strings are parsed as the type of the field.

    Raises:
        InputError: the model or a hyperparameter is unknown, or a value is outside its limits.
    """
    config = find_model(model).Config
    try:
        return config.model_validate(dict(settings))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = ", ".join(config.model_fields)
            raise ParameterError(f"config.{name}", "no such hyperparameter", f"one of {known}") from error
        raise ParameterError(f"config.{name}", repr(first["input"]), first["msg"]) from error


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
    if len(dataset.features) < kind.min_modalities:
        expected = f"{kind.min_modalities} or more for {kind.name}"
        raise InputError(dataset.name, f"{len(dataset.features)} modalities", expected)
    if kind.takes_features and not dataset.features:
        warnings.warn(f"{dataset.name} has no modalities: {kind.name} learns from interactions alone", stacklevel=2)
    features = _features(dataset, mark_missing=kind.accepts_missing)
    if settings.precision == "bf16":
        if not kind.bf16_features:
            able = ", ".join(other.name for other in REGISTRY.values() if other.bf16_features)
            found = f"bf16 for {kind.name}, which has no products of constant features"
            raise ParameterError("precision", found, f"float32, or one of {able}")
        features = {modality: matrix.bfloat16() for modality, matrix in features.items()}
    with preserve_rng(), adaptive_waiting():
        torch.manual_seed(settings.seed)
        try:
            return kind(dataset.train, features, config)
        except InputError:
            raise
        except ValueError as error:  # how a model refuses a combination of config and data
            raise InputError(kind.name, str(error), "a config that fits the data") from error


def _features(dataset: Dataset, *, mark_missing: bool) -> dict[str, torch.Tensor]:
    """The feature matrices `[I, F_m]`; rows of items that lack the modality are NaN if asked for, else filled."""
    features = {modality: torch.from_numpy(matrix) for modality, matrix in dataset.features.items()}
    if not mark_missing:
        return features
    for modality, present in dataset.present.items():
        if not present.all():
            missing = torch.from_numpy(~present)[:, None]  # [I, 1]
            features[modality] = features[modality].masked_fill(missing, torch.nan)
    return features


@flush_denormals()  # before the model is built, because threads inherit the mode when they start
def train(
    model: str | type[Recommender],
    dataset: Dataset,
    config: ModelConfig | Mapping[str, object] | None = None,
    settings: Settings | None = None,
    *,
    out: Path | str | None = None,
    resume: bool = False,
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
        resume: continue the interrupted run in `out`; a finished one is loaded.
        callbacks: called at the start of the training, after each epoch and at the end.
        metric: the validation metric that chooses the epoch, instead of the one that `settings` name.
        sampler: draws the batches, instead of the sampler that `config` names.
        loss_terms: further terms of the loss by name, already weighted.
        newcomers: how the run embeds new users; None chooses it on the validation split.

    Raises:
        InputError: a name is unknown, a value or the data cannot be used, or `out` is not empty.
    """
    kind, settings = find_model(model), name_metric(settings or Settings(), metric)
    pick_device(settings.device)  # refuse an absent device before anything is written
    full = config if isinstance(config, ModelConfig) else make_config(kind, config or {})
    manifest = _manifest(kind.name, dataset, full, settings, _name_custom(metric, sampler, loss_terms))
    fit_model = partial(
        fit,
        build_model(kind, dataset, full, settings),
        dataset.train,
        settings,
        make_validation(dataset, settings, metric),
        callbacks=callbacks,
        sampler=sampler,
        loss_terms=loss_terms,
    )
    make_run = partial(_run, dataset, manifest, newcomers)
    if out is None:
        return make_run(fit_model())
    return _train_in_folder(Path(out), fit_model, make_run, manifest, resume=resume)


def _train_in_folder(
    folder: Path,
    fit_model: Callable[..., Trained],
    make_run: Callable[[Trained], Run],
    manifest: Manifest,
    *,
    resume: bool,
) -> Run:
    _create(folder)
    with locked(folder):
        if not _prepare(folder, manifest, resume):
            return Run.load(folder)
        trained = fit_model(checkpoints=CheckpointFolder(folder / "checkpoint"))
        run = replace(make_run(trained), folder=folder)
        run.save(trained.weights, trained.progress.best_epoch, trained.chosen)
    return run


def _run(dataset: Dataset, manifest: Manifest, newcomers: MapSettings | None, trained: Trained) -> Run:
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
        stored_newcomers=choose_newcomers(trained.embeddings, dataset.train, dataset.valid, features, newcomers),
        features=unit_features(dataset.features, dataset.present),
    )


def _manifest(
    name: str, dataset: Dataset, config: ModelConfig, settings: Settings, custom: CustomNames | None
) -> Manifest:
    versions = {
        "prismrec": version("prismrec"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "kernels": "compiled" if kernels_available() else "none",
    }
    return Manifest(
        model=name,
        config=config.model_dump(mode="json"),
        settings=settings,
        data=dataset.name,
        fingerprint=dataset.fingerprint,
        notes=dataset.notes,
        modalities={modality: matrix.shape[1] for modality, matrix in dataset.features.items()},
        versions=versions,
        custom=custom,
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


def _create(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(folder, error.strerror or str(error), "a folder that can be written") from error


def _prepare(folder: Path, manifest: Manifest, resume: bool) -> bool:
    """Write the manifest into the locked folder; False if `resume` finds a finished run."""
    path = folder / "config.json"
    if resume and path.exists():
        _check_same_run(path, manifest)
        remove_temporary_files(folder)
        return not (folder / "metrics.json").exists()
    names = [entry.name for entry in folder.iterdir() if entry.name != LOCK_NAME]
    if resume:  # a run that was killed before it wrote its manifest may have left temporary files
        names = [name for name in names if not name.startswith(".")]
    if names:
        raise InputError(folder, "something already there", "a new folder, or resume for an interrupted run")
    write_text(path, manifest.model_dump_json(indent=2))
    return True


def _check_same_run(path: Path, manifest: Manifest) -> None:
    """Refuse to continue a run with another model, config, data set or settings."""
    try:
        earlier = Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(path, "another format", "the config.json of an interrupted run") from error
    for field in ("model", "config", "settings", "fingerprint", "custom"):
        before, now = getattr(earlier, field), getattr(manifest, field)
        if before != now:
            raise InputError(path, f"{field} = {before}", f"{now} as given now, or another folder")
