"""From raw ids to a `Dataset`: numbering, k-core, split, filled features."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import polars as pl

from prismrec.data.dataset import Dataset
from prismrec.data.pairs import LabelConflictError, Pairs, distinct, renumber
from prismrec.data.pairs import k_core as largest_core
from prismrec.data.readers import read_source
from prismrec.data.readers.raw import ColumnNames, RawData, RawFeatures, ReadOptions
from prismrec.data.split import SPLIT_NAMES, SplitSpec, split_labels
from prismrec.errors import InputError
from prismrec.types import BoolArray, FloatArray, Interactions, Vocabulary

Fill = Literal["mean", "zero"]


def load(
    source: Path | str,
    *,
    format: str | None = None,
    split: SplitSpec | None = None,
    fill: Fill = "mean",
    k_core: int = 0,
    columns: ColumnNames | None = None,
    modalities: Sequence[str] | None = None,
    npy_order: Literal["items"] | None = None,
    memory_limit: int | None = None,
) -> Dataset:
    """Read a source, check it, and split it.

    Args:
        source: a folder in one of the layouts, or the file of interactions in it.
        format: `table`, `mmrec`, `recbole` or `lattice`; None recognises it.
        split: the protocol; None takes the file's own labels or, without any, 8:1:1 within each user, seed 0.
        fill: what the features of an item without a modality become: the modality's mean, or zero.
        k_core: keep only users and items with at least k interactions with each other; 0 keeps all.
        columns: names of columns where they are not the usual ones.
        modalities: which to read; None for all, empty for none.
        npy_order: "items" if row i of each `features/*.npy` belongs to row i of the item table.
        memory_limit: refuse any file larger than this, in bytes.

    Raises:
        InputError: for input that cannot be used as it is; the message says where, what and what to do.
    """
    if fill not in get_args(Fill):
        raise InputError("--fill", repr(fill), f"one of: {', '.join(get_args(Fill))}")
    if k_core < 0:
        raise InputError("--k-core", str(k_core), "a whole number from 0 on")
    options = ReadOptions(
        columns=columns or ColumnNames(),
        modalities=None if modalities is None else tuple(modalities),
        memory_limit=memory_limit,
        npy_order=npy_order,
    )
    return build(read_source(Path(source), format, options), split=split, fill=fill, k_core=k_core)


def build(raw: RawData, *, split: SplitSpec | None = None, fill: Fill = "mean", k_core: int = 0) -> Dataset:
    """Number, filter, split and fill what a reader returned; arguments and errors as for `load`.

    Ids are numbered in ascending order: as numbers if all of them are whole numbers without leading zeros, else
    as text, by code point. Users and items without interactions keep a number, unless a k-core is asked for.
    """
    users = _numbered([raw.pairs["user"], raw.users])
    items = _numbered([raw.pairs["item"], raw.items, _in_all_features(raw)])
    notes = [*raw.notes, *_padded(users, "user"), *_padded(items, "item")]
    pairs = _distinct_pairs(raw, users, items, notes)
    if k_core:
        before = pairs
        pairs, kept_users, kept_items = renumber(largest_core(pairs, k_core))
        if not len(pairs):
            raise InputError(raw.path, f"no {k_core}-core among {len(before):,} pairs", "a smaller --k-core")
        notes.append(
            f"{k_core}-core: {len(users) - len(kept_users):,} users, {len(items) - len(kept_items):,} items and "
            f"{len(before) - len(pairs):,} pairs left out"
        )
        users, items = users.gather(kept_users), items.gather(kept_items)
    spec = split or SplitSpec(by="user" if pairs.labels is None else "label")
    labels = split_labels(pairs, spec, str(raw.path))
    notes.append(f"split: {spec}")
    notes += [f"no {name} pair" for label, name in enumerate(SPLIT_NAMES) if not (labels == label).any()]
    if pairs.labels is not None and spec.by != "label":
        notes.append("the file's own split labels were set aside")
    features, present = _align(raw, items, np.bincount(pairs.items, minlength=len(items)) > 0, fill, notes)
    train, valid, test = (
        Interactions(pairs.users[labels == label], pairs.items[labels == label], len(users), len(items))
        for label in range(len(SPLIT_NAMES))
    )
    return Dataset(
        name=raw.name,
        train=train,
        valid=valid,
        test=test,
        features=features,
        present=present,
        users=Vocabulary(users, "user"),
        items=Vocabulary(items, "item"),
        catalog=_aligned_catalog(raw.catalog, items),
        notes=tuple(notes),
    )


def _numbered(parts: Sequence[pl.Series | None]) -> pl.Series:
    """The distinct ids of all parts in the order of their numbers."""
    ids = pl.concat([part.unique().rename("id") for part in parts if part is not None]).unique()
    if ids.str.contains(r"^(0|[1-9][0-9]{0,17})$").all():
        return ids.cast(pl.Int64).sort().cast(pl.String)
    return ids.sort()


def _padded(ids: pl.Series, kind: str) -> list[str]:
    """A note if ids begin or end with a space: they are told apart from those that do not."""
    padded = ids.filter(ids.str.contains(r"^\s|\s$"))
    return [f"{len(padded):,} {kind} ids begin or end with a space, such as {padded[0]!r}"] if len(padded) else []


def _in_all_features(raw: RawData) -> pl.Series | None:
    """Items that every modality has, also those without an interaction."""
    modalities = [features.ids for features in raw.features.values()]
    if not modalities:
        return None
    common = modalities[0]
    for ids in modalities[1:]:
        common = common.filter(_positions(common, ids).is_not_null())
    return common


def _positions(ids: pl.Series, known: pl.Series) -> pl.Series:
    """The position of each id in `known`, null where it has none."""
    return ids.cast(pl.Enum(known), strict=False).to_physical()


def _distinct_pairs(raw: RawData, users: pl.Series, items: pl.Series, notes: list[str]) -> Pairs:
    given = raw.pairs
    columns = {name: given[name].to_numpy() for name in ("timestamp", "label") if name in given.columns}
    pairs = Pairs(
        users=_positions(given["user"], users).to_numpy().astype(np.int32),
        items=_positions(given["item"], items).to_numpy().astype(np.int32),
        num_users=len(users),
        num_items=len(items),
        timestamps=columns.get("timestamp"),
        labels=columns.get("label"),
    )
    try:
        once = distinct(pairs)
    except LabelConflictError as conflict:
        labels = " and ".join(SPLIT_NAMES[label] for label in conflict.labels)
        raise InputError(
            f"{raw.path}, user {users[conflict.user]!r} with item {items[conflict.item]!r}",
            f"the same pair in {labels}",
            "each pair in one split",
        ) from None
    if len(once) < len(pairs):
        notes.append(f"{len(pairs) - len(once):,} duplicate interactions: each pair was kept once")
    return once


def _align(
    raw: RawData, items: pl.Series, interacted: BoolArray, fill: Fill, notes: list[str]
) -> tuple[dict[str, FloatArray], dict[str, BoolArray]]:
    """Features `[I, F_m]` in the order of the items, and which rows were there."""
    features: dict[str, FloatArray] = {}
    present: dict[str, BoolArray] = {}
    for name, modality in raw.features.items():
        values, has = _align_one(modality, items)
        if not has[interacted].any():
            raise InputError(
                modality.path,
                f"{len(modality.ids):,} items such as {modality.ids[0]!r}, none with an interaction",
                f"items of {raw.path.name}, such as {items[int(interacted.argmax())]!r}",
            )
        missing = int((~has).sum())
        if missing:
            values[~has] = values[has].mean(axis=0, dtype=np.float64) if fill == "mean" else 0
            filled = "the mean" if fill == "mean" else "zeros"
            notes.append(f"{name}: {missing:,} of {len(items):,} items lack it and were filled with {filled}")
        surplus = len(modality.ids) - int(has.sum())
        if surplus:
            notes.append(f"{name}: {surplus:,} rows belong to no item of the data set and were left out")
        features[name], present[name] = values, has
    return features, present


def _align_one(modality: RawFeatures, items: pl.Series) -> tuple[FloatArray, BoolArray]:
    if modality.ids.equals(items):
        return modality.values, np.ones(len(items), dtype=np.bool_)
    positions = _positions(modality.ids, items)
    known = positions.is_not_null().to_numpy()
    rows = positions.drop_nulls().to_numpy()
    values = np.zeros((len(items), modality.values.shape[1]), dtype=np.float32)
    values[rows] = modality.values[known]
    has = np.zeros(len(items), dtype=np.bool_)
    has[rows] = True
    return values, has


def _aligned_catalog(catalog: pl.DataFrame | None, items: pl.Series) -> pl.DataFrame | None:
    if catalog is None:
        return None
    position = pl.Series("position", np.arange(len(items)))
    numbered = pl.DataFrame([items.alias("item_id"), position])
    return numbered.join(catalog, on="item_id", how="left").sort("position").drop("position")
