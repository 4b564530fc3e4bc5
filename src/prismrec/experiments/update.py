"""A run with new items, new users and new clicks, without training or with a few more epochs."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import get_args

import numpy as np
import polars as pl
import torch

from prismrec.data import Dataset
from prismrec.data.additions import NewItems
from prismrec.data.ids import number_ids, positions
from prismrec.data.readers.raw import UnknownItems
from prismrec.errors import InputError, ParameterError, check_choice, check_type
from prismrec.experiments.continue_training import continue_training
from prismrec.experiments.extended_catalog import extended_catalog
from prismrec.provenance import refuse_mixture
from prismrec.records import best_epoch
from prismrec.retrieval.features import unit_features
from prismrec.runs import Manifest, Run, locked
from prismrec.runs.folder import read_weights
from prismrec.runs.staging import complete_run, new_run_folder
from prismrec.training import Callback
from prismrec.types import Embeddings, Interactions, Vocabulary
from prismrec.words import count


def update(
    run: Run,
    out: Path | str,
    *,
    items: NewItems | None = None,
    clicks: pl.DataFrame | None = None,
    unknown_items: UnknownItems = "refuse",
    epochs: int = 0,
    dataset: Dataset | None = None,
    callbacks: Sequence[Callback] = (),
    overwrite: bool = False,
) -> Run:
    """Write a new run directory with more items, users and clicks. The old run stays as it is.

    Items get their vectors from their features, and new users from their clicks. The vector of a known user moves by
    what the new clicks add to it. Numbers of known users and items do not change.

    Args:
        run: a saved run.
        out: a new or empty folder.
        items: items to add, from `load_items`.
        clicks: columns `user` and `item`, from `load_clicks`. They become training interactions.
        unknown_items: whether to refuse or drop clicks on items that the run lacks; a note counts dropped ones.
        epochs: how many epochs to train from the weights of the run.
        dataset: the features of all items that `items` lacks; only to train a run that was trained with features.
        callbacks: called during the training.
        overwrite: replace the run in `out`, which can be used until the new run is complete.

    Raises:
        InputError: nothing is given, an item is in the run already, features have other modalities or widths, a click
            is on an unknown item, or `out` is not empty or another process writes it.
    """
    _check_types(run, out, items, clicks, unknown_items, epochs, dataset)
    if run.folder is None:
        raise InputError("run", "no folder", "a run that was saved")
    if items is None and clicks is None and not epochs:
        raise InputError("update", "nothing to add", "items, clicks or epochs")
    with locked(Path(out)) as lock:
        new_run_folder(lock.folder, overwrite=overwrite)  # refuses before the work
        updated = run if items is None else _with_items(run, items)
        if clicks is not None:
            updated = _with_clicks(updated, _texts_of_ids(clicks), unknown_items)
        updated = _with_old_training(updated, run)
        weights = read_weights(run.folder)
        if epochs:
            updated, weights = continue_training(updated, weights, epochs, dataset, items, callbacks)
        updated = replace(updated, weights=weights)
        with complete_run(lock.folder, updated.manifest, overwrite=overwrite) as target:
            updated.write(target, lock)
    return replace(updated, folder=lock.folder, weights=None)


def _check_types(
    run: object, out: object, items: object, clicks: object, unknown_items: str, epochs: int, dataset: object
) -> None:
    nothing = type(None)
    check_type("run", run, Run, "a run, from prismrec.train or Run.load")
    check_type("out", out, (str, PathLike), "a path")
    check_type("items", items, (NewItems, nothing), "new items, from prismrec.data.load_items")
    check_type("clicks", clicks, (pl.DataFrame, nothing), "a table, from prismrec.data.load_clicks")
    check_choice("unknown_items", unknown_items, get_args(UnknownItems))
    check_type("epochs", epochs, int, "a whole number")
    if epochs < 0:
        raise ParameterError("epochs", str(epochs), "0 or more")
    check_type("dataset", dataset, (Dataset, nothing), "a Dataset, from prismrec.load or prismrec.dataset")


def _with_old_training(updated: Run, run: Run) -> Run:
    """The updated run, whose weights and best epoch are those of the old one."""
    sizes = run.manifest.weights_of or (len(run.users), len(run.items))
    manifest = updated.manifest.model_copy(update={"weights_of": sizes})
    best = best_epoch(run.history, run.manifest.settings.metric)
    return replace(updated, manifest=manifest, best_epoch=best)


def _with_items(run: Run, new: NewItems) -> Run:
    known = positions(new.items.ids, run.items.ids).is_not_null()
    if known.any():
        found = f"item {new.items.ids[known.arg_max() or 0]!r}, one of {int(known.sum())} that the run has"
        raise InputError(new.source, found, "new items only")
    _check_features(run, new)
    newcomers = run.newcomers
    vectors = newcomers.embed_items({name: torch.from_numpy(rows) for name, rows in new.features.items()})
    total = len(run.items) + len(new.items)
    return replace(
        run,
        embeddings=Embeddings(run.embeddings.users, torch.cat([run.embeddings.items, vectors])),
        items=Vocabulary(pl.concat([run.items.ids, new.items.ids]), "item"),
        train=_resized(run.train, run.train.num_users, total),
        valid=_resized(run.valid, run.valid.num_users, total),
        test=_resized(run.test, run.test.num_users, total),
        catalog=extended_catalog(run.catalog, new),
        features=_extended_features(run, new),
        stored_newcomers=replace(newcomers, user_map=newcomers.user_map.with_items(vectors, run.train)),
        manifest=_with_note(run, f"{count(len(new.items), 'item')} added", "\0".join(new.items.ids)),
    )


def _check_features(run: Run, new: NewItems) -> None:
    widths = run.manifest.modalities
    for name in new.features:
        if name not in widths:
            raise InputError(new.source, f"modality {name!r}", f"those of the run: {', '.join(widths) or 'none'}")
    refuse_mixture(run.encodings, new.encodings, [name for name in widths if name in new.features], new.source)
    for name, rows in new.features.items():
        if rows.shape[1] != widths[name]:
            raise InputError(
                new.source / "features" / name, f"{rows.shape[1]} columns", f"{widths[name]}, as in the run"
            )
    missing = [name for name in widths if name not in new.features]
    if missing:
        expected = f"features of {', '.join(widths)}, as in the run"
        if missing[0] in run.encodings:
            expected += "; prismrec.content.encode_like(FOLDER, run.encodings) makes them"
        raise InputError(new.source, f"no features {missing[0]!r}", expected)


def _extended_features(run: Run, new: NewItems) -> dict[str, torch.Tensor]:
    """The features for similarity with the rows of the new items; none if the run has none."""
    present = {name: np.asarray(~np.isnan(rows).any(1)) for name, rows in new.features.items()}
    added = unit_features(new.features, present)
    return {name: torch.cat([rows, added[name]]) for name, rows in run.features.items()}


def _texts_of_ids(clicks: pl.DataFrame) -> pl.DataFrame:
    """Columns `user` and `item` as text.

    Raises:
        ParameterError: a column is missing, is neither text nor whole numbers, or lacks an id.
    """
    for name in ("user", "item"):
        if name not in clicks.columns:
            raise ParameterError("clicks", f"columns {', '.join(clicks.columns) or 'none'}", "columns user and item")
        ids = clicks[name]
        if ids.dtype != pl.String and not ids.dtype.is_integer():
            raise ParameterError("clicks", f"column {name!r} of type {ids.dtype}", "ids as text or whole numbers")
        if ids.null_count():
            raise ParameterError("clicks", f"no {name} in row {ids.is_null().arg_max()}", "an id in each row")
    return clicks.select(pl.col("user", "item").cast(pl.String))


def _with_clicks(run: Run, clicks: pl.DataFrame, unknown_items: UnknownItems) -> Run:
    clicks, dropped = _of_known_items(run, clicks, unknown_items)
    items = positions(clicks["item"], run.items.ids)
    arrived = number_ids([clicks["user"].filter(positions(clicks["user"], run.users.ids).is_null())])
    users = Vocabulary(pl.concat([run.users.ids, arrived.cast(pl.String).alias("user")]), "user")
    numbers = positions(clicks["user"], users.ids)
    pairs = Interactions.from_pairs(numbers.to_numpy(), items.to_numpy(), len(users), len(run.items))
    before = _resized(run.train, len(users), len(run.items))
    valid = _resized(run.valid, len(users), len(run.items))
    test = _resized(run.test, len(users), len(run.items))
    added = _without(pairs, [before, valid, test])
    train = Interactions.from_pairs(
        np.concatenate([before.users, added.users]),
        np.concatenate([before.items, added.items]),
        len(users),
        len(run.items),
    )
    content = "\0".join([*arrived, added.users.tobytes().hex(), added.items.tobytes().hex()])
    note = (
        f"{count(len(added), 'interaction')} and {count(len(arrived), 'user')} added"
        f"; {count(len(pairs) - len(added), 'interaction')} of the run ignored{dropped}"
    )
    return replace(
        run,
        embeddings=Embeddings(_moved_users(run, before, train, np.unique(added.users)), run.embeddings.items),
        users=users,
        train=train,
        valid=valid,
        test=test,
        stored_newcomers=run.newcomers,
        manifest=_with_note(run, note, content),
    )


def _of_known_items(run: Run, clicks: pl.DataFrame, unknown_items: UnknownItems) -> tuple[pl.DataFrame, str]:
    """The clicks on items of the run, and what a note says of the others.

    Raises:
        InputError: an item that the run lacks, unless these are dropped.
    """
    unknown = positions(clicks["item"], run.items.ids).is_null()
    if not unknown.any():
        return clicks, ""
    names = clicks["item"].filter(unknown)
    if unknown_items == "drop":
        what = f"{count(len(names), 'interaction')} with {count(names.n_unique(), 'item')}"
        return clicks.filter(~unknown), f"; {what} that the run lacks left out"
    found = f"item {names[0]!r}, one of {names.n_unique()} that the run lacks"
    expected = (
        "items of the run, new items together with their features, or unknown_items='drop' (--unknown-items drop)"
    )
    raise InputError("interactions", found, expected)


def _moved_users(run: Run, before: Interactions, after: Interactions, changed: np.ndarray) -> torch.Tensor:
    """The users of the run, moved by what their new clicks add, and the new users behind them, `[U', d]`."""
    known = len(run.users)
    embed_users = run.newcomers.embed_users
    rows = torch.zeros(after.num_users, run.embeddings.users.shape[1])
    rows[:known] = run.embeddings.users
    numbers = torch.from_numpy(changed.astype(np.int64))
    was_clicked = torch.from_numpy(before.user_degrees[changed] > 0)
    now = embed_users(after.of_users(changed))
    earlier = embed_users(before.of_users(changed))
    rows[numbers] = torch.where(was_clicked.unsqueeze(1), rows[numbers] + now - earlier, now)
    return rows


def _without(pairs: Interactions, others: list[Interactions]) -> Interactions:
    keys = pairs.users.astype(np.int64) * pairs.num_items + pairs.items
    known = [other.users.astype(np.int64) * pairs.num_items + other.items for other in others]
    kept = ~np.isin(keys, np.concatenate(known))
    return Interactions(pairs.users[kept], pairs.items[kept], pairs.num_users, pairs.num_items)


def _resized(pairs: Interactions, num_users: int, num_items: int) -> Interactions:
    return Interactions(pairs.users, pairs.items, num_users, num_items)


def _with_note(run: Run, note: str, content: str) -> Manifest:
    digest = hashlib.sha256(f"{run.manifest.fingerprint}\0{content}".encode()).hexdigest()
    return run.manifest.model_copy(update={"fingerprint": digest, "notes": (*run.manifest.notes, f"updated: {note}")})
