"""The final training for production: on all interactions, for the number of epochs that validation chose."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from prismrec.data import Dataset
from prismrec.errors import InputError, ParameterError, check_type
from prismrec.experiments.train import settled_config, train
from prismrec.experiments.warm_start import find_source
from prismrec.models import find_model
from prismrec.records import Settings, best_epoch
from prismrec.runs import Run
from prismrec.training import Callback
from prismrec.types import Interactions


def refit(
    run: Run,
    dataset: Dataset,
    out: Path | str,
    *,
    init: Run | Path | str | None = None,
    callbacks: Sequence[Callback] = (),
    resume: bool = False,
    overwrite: bool = False,
) -> Run:
    """Train the model of a run again, on the training, validation and test interactions together.

    Hyperparameters that the model chose by validation keep their values. If the run started from the weights of
    another run, so does the new one.

    The new run has no held-out interactions, so it has no metrics. Those of the old run estimate its quality.

    Args:
        run: a run whose epoch was chosen on validation.
        dataset: its data set. A warning says if it is another one.
        out: a new or empty folder.
        init: the run whose weights to start from, if it is no longer where it was.
        callbacks: called during the training.
        resume: continue the interrupted run in `out`.
        overwrite: replace the run in `out`, which can be used until the new run is complete.

    Raises:
        InputError: the run had parts of the caller, the data set has other modalities, or `out` holds something else.
    """
    _check(run, dataset)
    epochs = best_epoch(run.history, run.manifest.settings.metric)
    length = {"epochs": max(epochs, 1), "patience": max(epochs, 1)}
    settings = Settings.model_validate(run.manifest.settings.model_dump() | length)  # marks the epochs as given
    started_from = run.manifest.init
    if started_from is not None:
        init = find_source(started_from, find_model(run.manifest.model), init).run
    elif init is not None:
        raise ParameterError("init", "a run", "none, because the run to refit started from random weights")
    return train(
        run.manifest.model,
        _merged(dataset),
        settled_config(run),
        settings,
        out=out,
        resume=resume,
        overwrite=overwrite,
        init=init,
        callbacks=callbacks,
        newcomers=run.newcomers.user_map.settings,
    )


def _check(run: Run, dataset: Dataset) -> None:
    check_type("run", run, Run, "a run, from prismrec.train or Run.load")
    check_type("dataset", dataset, Dataset, "a Dataset, from prismrec.load or prismrec.dataset")
    custom = run.manifest.custom
    if custom is not None and (custom.sampler or custom.loss_terms):
        raise InputError("run", "a sampler or loss terms of the caller", "a run without them")
    widths = {name: rows.shape[1] for name, rows in dataset.features.items()}
    if widths != run.manifest.modalities:
        raise InputError(f"{dataset.name}, features", str(widths), f"{run.manifest.modalities}, as in the run")
    if dataset.fingerprint != run.manifest.fingerprint:
        warnings.warn(f"{dataset.name} is not exactly the data set that the run was trained on", stacklevel=3)


def _merged(dataset: Dataset) -> Dataset:
    """All interactions for training."""
    splits = (dataset.train, dataset.valid, dataset.test)
    users = np.concatenate([split.users for split in splits])
    items = np.concatenate([split.items for split in splits])
    size = dataset.train.num_users, dataset.train.num_items
    everything = Interactions.from_pairs(users, items, *size)
    nothing = Interactions.from_pairs([], [], *size)
    notes = (*dataset.notes, "refit: validation and test interactions were used for training")
    return replace(dataset, train=everything, valid=nothing, test=nothing, notes=notes)
