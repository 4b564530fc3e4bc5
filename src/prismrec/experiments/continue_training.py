"""Training from the weights of a run, on more users, items and clicks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from prismrec.data import Dataset
from prismrec.data.additions import NewItems
from prismrec.data.ids import positions
from prismrec.errors import InputError, ParameterError
from prismrec.experiments.train import build_model, make_config
from prismrec.models import find_model
from prismrec.provenance import refuse_mixture
from prismrec.runs import Run
from prismrec.runs.newcomers import choose_newcomers
from prismrec.training import Callback, fit
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

    Rows of users and items that the weights lack start as those of a new model.

    Args:
        run: with the users, items and clicks to train on.
        weights: of the model, for the first users and items of the run.
        epochs: how many.
        dataset: has the features of all items but those in `items`.
        items: the items that were added last.
        callbacks: called during the training.

    Raises:
        InputError: features of an item are missing, or the weights are those of another model.
    """
    kind = find_model(run.manifest.model)
    settings = run.manifest.settings.model_copy(update={"epochs": epochs, "patience": epochs})
    data = _dataset(run, _features(run, dataset, items))
    model = build_model(kind, data, make_config(kind, run.manifest.config), settings)
    model.load_state_dict(grown(weights, model.state_dict(), len(run.users), len(run.items)))
    trained = fit(model, run.train, settings, callbacks=callbacks)
    features = {name: torch.from_numpy(rows) for name, rows in data.features.items()}
    chosen = run.newcomers.user_map.settings
    updated = replace(
        run,
        embeddings=trained.embeddings,
        history=trained.progress.history,
        stored_newcomers=choose_newcomers(trained.embeddings, run.train, run.valid, features, chosen),
        manifest=run.manifest.model_copy(update={"settings": settings}),
    )
    return updated, trained.weights


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


def grown(
    weights: Mapping[str, Tensor], fresh: Mapping[str, Tensor], num_users: int, num_items: int
) -> dict[str, Tensor]:
    """The weights of a model with more users and items: old rows first, and the rows of `fresh` behind them.

    Args:
        weights: of the smaller model.
        fresh: of a new model of `num_users` users and `num_items` items.
        num_users: U.
        num_items: I.

    Raises:
        InputError: the weights are those of another model.
    """
    if weights.keys() != fresh.keys():
        raise InputError("weights", f"{len(weights)} of other names", "the weights of this model")
    of_users = [len(weights[name]) for name, new in fresh.items() if new.ndim and len(new) == num_users]
    users_before = min([num_users, *of_users])
    return {name: _grown(name, weights[name], new, users_before, num_users, num_items) for name, new in fresh.items()}


def _grown(name: str, old: Tensor, new: Tensor, users_before: int, num_users: int, num_items: int) -> Tensor:
    if old.shape == new.shape:
        return old
    if old.ndim != new.ndim or old.shape[1:] != new.shape[1:] or len(old) > len(new):
        expected = f"{list(new.shape)} or fewer rows"
        raise InputError(f"weight {name!r}", f"shape {list(old.shape)}", expected)
    rows = new.clone()
    if len(new) != num_users + num_items:
        rows[: len(old)] = old
        return rows
    rows[:users_before] = old[:users_before]  # one table for users and, behind them, items
    rows[num_users : num_users + len(old) - users_before] = old[users_before:]
    return rows
