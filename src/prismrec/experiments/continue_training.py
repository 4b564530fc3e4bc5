"""Training from the weights of a run, on more users, items and clicks."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from prismrec.data import Dataset
from prismrec.data.additions import NewItems
from prismrec.data.ids import positions
from prismrec.errors import InputError, ParameterError
from prismrec.experiments.matching import RowMatch, WeightCopy, match_weights
from prismrec.experiments.train import build_model, make_config, settled_config
from prismrec.experiments.validation import make_validation
from prismrec.experiments.warm_start import ids_of_weights
from prismrec.models import Recommender, find_model
from prismrec.provenance import refuse_mixture
from prismrec.records import Settings
from prismrec.runs import Run
from prismrec.runs.newcomers import choose_newcomers
from prismrec.training import Callback, Validate, fit
from prismrec.types import FloatArray


def continue_training(
    run: Run,
    weights: Mapping[str, Tensor],
    epochs: int,
    dataset: Dataset | None,
    items: NewItems | None,
    callbacks: Sequence[Callback],
) -> tuple[Run, dict[str, Tensor]]:
    """Train for some epochs and return the run with its new embeddings, and the new weights.

    Rows of users and items that the weights lack start as those of a new model. Validation chooses the best of these
    epochs. A warning says if it cannot, and then the last epoch is kept.

    Args:
        run: with the users, items and clicks to train on.
        weights: of the model, for the first users and items of the run; `manifest.weights_of` says how many.
        epochs: how many.
        dataset: has the features of all items but those in `items`.
        items: the items that were added last.
        callbacks: called during the training.

    Raises:
        InputError: the run had a sampler or loss terms of the caller, features of an item are missing, or the weights
            are those of another model.
    """
    custom = run.manifest.custom
    if custom is not None and (custom.sampler or custom.loss_terms):
        raise InputError("run", "a sampler or loss terms of the caller", "a run without them")
    kind = find_model(run.manifest.model)
    settings = run.manifest.settings.model_copy(update={"epochs": epochs, "patience": epochs})
    data = _dataset(run, _features(run, dataset, items))
    validate = _validation(data, settings, run)
    config = settled_config(run) if validate is None else make_config(kind, run.manifest.config)
    model = build_model(kind, data, config, settings)
    start = grow_weights(weights, model, run)
    trained = fit(model, run.train, settings, validate, callbacks=callbacks, start=start)
    features = {name: torch.from_numpy(rows) for name, rows in data.features.items()}
    chosen = run.newcomers.user_map.settings
    changes = {"config": config.model_dump(mode="json"), "settings": settings, "weights_of": None}
    updated = replace(
        run,
        embeddings=trained.embeddings,
        history=trained.progress.history,
        best_epoch=trained.progress.best_epoch or len(trained.progress.history),
        chosen=dict(trained.chosen),
        stored_newcomers=choose_newcomers(trained.embeddings, run.train, run.valid, features, chosen),
        manifest=run.manifest.model_copy(update=changes),
    )
    return updated, trained.weights


def _validation(data: Dataset, settings: Settings, run: Run) -> Validate | None:
    """The validation of the run; None, with a warning, if it had a metric of the caller or no validation split."""
    custom = run.manifest.custom
    if custom is not None and custom.metric:
        reason = f"the metric {custom.metric} is not known here"
    elif not len(data.valid):
        reason = "the run has no validation interactions"
    else:
        return make_validation(data, settings, None)
    warnings.warn(f"{reason}: the last epoch is kept, not the best one", stacklevel=4)
    return None


def _dataset(run: Run, features: Mapping[str, FloatArray]) -> Dataset:
    """The interactions of the run with the features of its items."""
    present = {name: np.ones(len(run.items), dtype=np.bool_) for name in features}
    return Dataset(run.manifest.data, run.train, run.valid, run.test, features, present, run.users, run.items)


def _features(run: Run, dataset: Dataset | None, items: NewItems | None) -> dict[str, FloatArray]:
    """The features of all items of the run, in its order."""
    widths = run.manifest.modalities
    if not widths:
        return {}
    if dataset is None:
        found = f"a run that was trained with features ({', '.join(widths)})"
        raise ParameterError("data", f"none, for {found}", "the data set with the features of its items")
    refuse_mixture(run.encodings, dataset.encodings, widths, dataset.name)
    features = {}
    for name, width in widths.items():
        rows = np.full((len(run.items), width), np.nan, dtype=np.float32)
        if name not in dataset.features or dataset.features[name].shape[1] != width:
            raise InputError(f"{dataset.name}, features {name!r}", "none of this width", f"{width} columns")
        places = positions(dataset.items.ids, run.items.ids)
        known = places.is_not_null().to_numpy()
        rows[places.drop_nulls().to_numpy()] = dataset.features[name][known]
        if items is not None:
            added = items.features[name]
            rows[len(run.items) - len(added) :] = np.where(np.isnan(added), dataset.features[name].mean(0), added)
        lacking = np.isnan(rows).any(1)
        if lacking.any():
            found = f"no {name} features of item {run.items.id(int(lacking.argmax()))!r}"
            raise InputError(dataset.name, found, "features of all items of the run")
        features[name] = rows
    return features


def grow_weights(weights: Mapping[str, Tensor], model: Recommender, run: Run) -> WeightCopy:
    """Copies the weights of a run into a model with more users and items. The other rows keep their initial values.

    What a model computes from the data, such as clusters, it computes again.

    Args:
        weights: of the run before it grew.
        model: a new model.
        run: the run with its new users and items; `manifest.weights_of` says how many of them `weights` have.

    Raises:
        InputError: the weights are those of another model.
    """
    new = dict(model.named_parameters())
    old_users, old_items = ids_of_weights(run)
    users = RowMatch.by_id(old_users, run.users)
    items = RowMatch.by_id(old_items, run.items)
    matches = match_weights(weights, new, users, items)
    for name, weight in new.items():
        if name not in matches:
            found = f"shape {list(weights[name].shape)}" if name in weights else "none"
            raise InputError(f"weight {name!r}", found, f"one that can become {list(weight.shape)}")
    return WeightCopy(weights, matches)
