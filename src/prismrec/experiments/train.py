"""From a data set to a run: the model built, trained, chosen on validation, and saved."""

import platform
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import scipy
import torch
from pydantic import ValidationError

from prismrec import kernels
from prismrec.data import Dataset
from prismrec.errors import InputError
from prismrec.evaluation import evaluate
from prismrec.experiments.run import METRICS, Manifest, Run, save
from prismrec.files import write_text
from prismrec.models import REGISTRY, ModelConfig, Recommender, canonical_name
from prismrec.training import CheckpointFolder, EpochRecord, Settings, denormals_flushed, fit
from prismrec.types import Embeddings

VALIDATION_CUTOFFS = (10, 20)


def make_config(model: str, settings: Mapping[str, object]) -> ModelConfig:
    """The config of a model with some hyperparameters set; strings are read as the field's type.

    Raises:
        InputError: no such model, no such hyperparameter, or a value outside its limits.
    """
    config = REGISTRY[canonical_name(model)].Config
    try:
        return config.model_validate(dict(settings))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = ", ".join(config.model_fields)
            raise InputError(f"--set {name}", "no such hyperparameter", f"one of {known}") from error
        raise InputError(f"--set {name}", repr(first["input"]), first["msg"]) from error


def build_model(name: str, dataset: Dataset, config: ModelConfig, settings: Settings) -> Recommender:
    """A fresh model; the seed decides its first weights.

    Raises:
        InputError: the data set lacks the modalities that the model needs, or the model knows no such precision.
    """
    model = REGISTRY[canonical_name(name)]
    if len(dataset.features) < model.min_modalities:
        raise InputError(
            dataset.name, f"{len(dataset.features)} modalities", f"{model.min_modalities} or more for {name}"
        )
    features = {name: torch.from_numpy(matrix) for name, matrix in dataset.features.items()}
    if settings.precision == "bf16":
        if not model.bf16_features:
            able = ", ".join(other for other, kind in REGISTRY.items() if kind.bf16_features)
            raise InputError(f"--precision bf16, model {name}", "no products of constant features", f"one of {able}")
        features = {name: matrix.bfloat16() for name, matrix in features.items()}
    torch.manual_seed(settings.seed)
    return model(dataset.train, features, config)


@denormals_flushed()  # before the model is built: threads have it from the one that starts them
def train(
    model: str,
    dataset: Dataset,
    config: ModelConfig | Mapping[str, object] | None = None,
    settings: Settings | None = None,
    *,
    out: Path | str | None = None,
    resume: bool = False,
    report: Callable[[EpochRecord], None] | None = None,
) -> Run:
    """Train one model and, with `out`, leave a run directory. The test split is not touched until the model is chosen.

    Args:
        model: its name, as in `prismrec models`.
        dataset: what to learn from.
        config: its hyperparameters, whole or only those that differ from the defaults.
        settings: seed, epochs, patience, device.
        out: folder for the run; new, or with `resume` that of the interrupted run.
        resume: go on from the last checkpoint in `out`, if there is one.
        report: called with each epoch's record.

    Raises:
        InputError: unknown names, unusable values, data that the model cannot learn from, an `out` that is taken.
    """
    name, settings = canonical_name(model), settings or Settings()
    full = config if isinstance(config, ModelConfig) else make_config(name, config or {})
    manifest = _manifest(name, dataset, full, settings)
    recommender = build_model(name, dataset, full, settings)
    validate = _validation(dataset, settings)
    folder = None if out is None else Path(out)
    if folder is not None and not _prepare(folder, manifest, resume):
        return Run.load(folder)
    checkpoints = CheckpointFolder(folder / "checkpoint") if folder is not None else None
    trained = fit(recommender, dataset.train, settings, validate, checkpoints=checkpoints, report=report)
    run = Run(
        folder=folder,
        manifest=manifest,
        embeddings=trained.embeddings,
        users=dataset.users,
        items=dataset.items,
        train=dataset.train,
        valid=dataset.valid,
        test=dataset.test,
        catalog=None if dataset.catalog is None else dataset.catalog.drop("item_id"),
        history=trained.progress.history,
    )
    if folder is not None:
        save(run, trained, folder)
    return run


def _manifest(name: str, dataset: Dataset, config: ModelConfig, settings: Settings) -> Manifest:
    versions = {
        "prismrec": version("prismrec"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "kernels": "compiled" if kernels.available() else "none",
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
    )


def _prepare(folder: Path, manifest: Manifest, resume: bool) -> bool:
    """Make the folder ready; False where `resume` finds the run finished already."""
    path = folder / "config.json"
    if path.exists() and resume:
        try:
            earlier = Manifest.model_validate_json(path.read_text(encoding="utf-8"))
        except ValidationError as error:
            raise InputError(path, "something else", "the config.json of an interrupted run") from error
        for field in ("model", "config", "settings", "fingerprint"):
            before, now = getattr(earlier, field), getattr(manifest, field)
            if before != now:
                raise InputError(path, f"{field} = {before}", f"{now} as asked for now, or another --out")
        return not (folder / "metrics.json").exists()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(folder, "something there already", "a new folder, or --resume for an interrupted run")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, manifest.model_dump_json(indent=2))
    return True


def _validation(dataset: Dataset, settings: Settings) -> Callable[[Embeddings], Mapping[str, float]] | None:
    """How to score an epoch: on the validation split alone."""
    if not len(dataset.valid):
        if "epochs" not in settings.model_fields_set:
            raise InputError(
                dataset.name, "no validation interactions", "a split with some, or a fixed number of --epochs"
            )
        return None
    metric, _, cutoff = settings.metric.partition("@")
    if metric not in METRICS or not cutoff.isdigit() or int(cutoff) < 1:
        raise InputError("--metric", repr(settings.metric), f"one of {', '.join(METRICS)} and a cut-off: recall@20")
    cutoffs = sorted({*VALIDATION_CUTOFFS, int(cutoff)})
    metrics = list(dict.fromkeys(["recall", "ndcg", metric]))

    def validate(embeddings: Embeddings) -> Mapping[str, float]:
        return evaluate(embeddings, dataset.valid, mask=[dataset.train], metrics=metrics, cutoffs=cutoffs).to_dict()

    return validate
