"""From raw ids to a `Dataset`: numbers, k-core, split, filled features."""

from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral
from os import PathLike
from pathlib import Path
from types import NoneType
from typing import Literal, NamedTuple, get_args

import numpy as np
import polars as pl

from prismrec.data.dataset import Dataset
from prismrec.data.ids import notes_on_ids, number_ids, positions
from prismrec.data.pairs import LabelArray, LabelConflictError, Pairs, distinct, renumber
from prismrec.data.pairs import k_core as largest_core
from prismrec.data.readers import read_source
from prismrec.data.readers.boundary import printable
from prismrec.data.readers.encodings import encodings_of
from prismrec.data.readers.raw import (
    LABELS_SET_ASIDE,
    ColumnNames,
    RawData,
    RawFeatures,
    ReadOptions,
    UnknownItems,
    parse_conditions,
    several,
)
from prismrec.data.split import SPLIT_NAMES, TEST, TRAIN, VALID, Protocol, SplitSpec, split_labels
from prismrec.errors import InputError, ParameterError, check_choice, check_type
from prismrec.errors import printable as in_one_line
from prismrec.types import BoolArray, FloatArray, Interactions, Vocabulary

Fill = Literal["mean", "zero"]


class _Numbered(NamedTuple):
    """Pairs of numbers, and the ids behind the numbers of users and items."""

    pairs: Pairs
    users: pl.Series
    items: pl.Series


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
    ignore_columns: Sequence[str] = (),
    where: Sequence[str] = (),
    min_rating: float | None = None,
    unknown_items: UnknownItems = "refuse",
) -> Dataset:
    """Read a source, check it, and split it.

    Args:
        source: a folder in one of the layouts, or the file of interactions in it.
        format: `table`, `mmrec`, `recbole` or `lattice`. None recognises the layout.
        split: the protocol. None uses the labels of the file, or without labels 8:1:1 within each user, seed 0.
        fill: the features of an item that lacks a modality: the mean of the modality, or zero.
        k_core: keep only users and items with at least k interactions with each other; 0 keeps all.
        columns: names of columns, if they are not the usual ones.
        modalities: the modalities to read. None reads all, an empty sequence none.
        npy_order: "items" if row i of each `features/*.npy` belongs to row i of the item table.
        memory_limit: refuse a file whose content, unpacked, is larger than this, in bytes.
        ignore_columns: columns to leave out: "COLUMN" in every table, also in feature tables, or "FILE:COLUMN" in one.
        where: conditions such as "label=1" or "rating>=4". Interactions that do not meet all of them are left out.
        min_rating: the lowest value in the column of ratings; interactions below it are left out.
        unknown_items: "drop" leaves out interactions with items that the item table lacks; "refuse" refuses them.

    Raises:
        InputError: the source or a parameter cannot be used; the message says where, what was found and expected.
    """
    _check_fill_and_core(fill, k_core)
    check_type("source", source, (str, PathLike), "a folder or a file")
    options = ReadOptions(
        columns=ColumnNames() if columns is None else columns,
        modalities=None if modalities is None else several("modalities", modalities),
        memory_limit=memory_limit,
        npy_order=npy_order,
        split_by=protocol_of(split),
        ignore_columns=several("ignore_columns", ignore_columns),
        where=parse_conditions(where, min_rating),
        unknown_items=unknown_items,
    )
    dataset = build(read_source(Path(source), format, options), split=split, fill=fill, k_core=k_core)
    return replace(dataset, folder=printable(_folder_of(Path(source).resolve())))


def _folder_of(path: Path) -> str:
    return str(path if path.is_dir() else path.parent)


def protocol_of(split: SplitSpec | None) -> Protocol | None:
    """The protocol of a split; None for that of the data.

    Raises:
        ParameterError: the argument is no split.
    """
    check_type("split", split, (SplitSpec, NoneType), "a SplitSpec, such as SplitSpec(by='last')")
    return None if split is None else split.by


def _check_fill_and_core(fill: str, k_core: int) -> None:
    check_choice("fill", fill, get_args(Fill))
    check_type("k_core", k_core, Integral, "a whole number from 0 on")
    if k_core < 0:
        raise ParameterError("k_core", str(k_core), "a whole number from 0 on")


def build(raw: RawData, *, split: SplitSpec | None = None, fill: Fill = "mean", k_core: int = 0) -> Dataset:
    """Number, filter, split and fill what a reader returned. The arguments are those of `load`.

    Ids are numbered in ascending order: as numbers if all of them are whole numbers without leading zeros, else
    as text, by code point. Users and items without interactions keep a number, except with a k-core.

    Raises:
        InputError: the data cannot be split or filtered in this way, or features belong to other items.
        ParameterError: an unknown `fill` or a negative `k_core`.
    """
    _check_fill_and_core(fill, k_core)
    notes = list(raw.notes)
    numbered = _number(raw, split, notes)
    if k_core:
        numbered = _reduce_to_core(raw, numbered, k_core, notes)
    pairs, users, items = numbered
    spec = split or SplitSpec(by="user" if pairs.labels is None else "label")
    labels = split_labels(pairs, spec, str(raw.path))
    notes.append(f"split: {spec}")
    notes += [f"no {name} pair" for label, name in enumerate(SPLIT_NAMES) if not (labels == label).any()]
    features, present = _align(raw, items, np.bincount(pairs.items, minlength=len(items)) > 0, fill, notes)
    return Dataset(
        name=printable(raw.name),
        train=_pairs_with(pairs, labels, TRAIN),
        valid=_pairs_with(pairs, labels, VALID),
        test=_pairs_with(pairs, labels, TEST),
        features=features,
        present=present,
        users=Vocabulary(users, "user"),
        items=Vocabulary(items, "item"),
        catalog=_aligned_catalog(raw.catalog, items),
        encodings=encodings_of(raw.features),
        imported=raw.imported,
        notes=tuple([in_one_line(printable(note)) for note in notes]),
    )


def _pairs_with(pairs: Pairs, labels: LabelArray, label: int) -> Interactions:
    chosen = labels == label
    return Interactions(pairs.users[chosen], pairs.items[chosen], pairs.num_users, pairs.num_items)


def _number(raw: RawData, split: SplitSpec | None, notes: list[str]) -> _Numbered:
    """Number users and items, and keep each pair once."""
    users = number_ids([raw.pairs["user"], raw.users])
    items = number_ids([raw.pairs["item"], raw.items, _in_all_features(raw)])
    notes += notes_on_ids(users, "user")
    with_features = [features.ids for features in raw.features.values()]
    notes += notes_on_ids(number_ids([items, *with_features]), "item")
    if "label" in raw.pairs.columns and split is not None and split.by != "label":
        notes.append(LABELS_SET_ASIDE)
        raw = replace(raw, pairs=raw.pairs.drop("label"))
    return _Numbered(_distinct_pairs(raw, users, items, notes), users, items)


def _reduce_to_core(raw: RawData, numbered: _Numbered, k: int, notes: list[str]) -> _Numbered:
    before = numbered.pairs
    pairs, kept_users, kept_items = renumber(largest_core(before, k))
    if not len(pairs):
        raise InputError(raw.path, f"no {k}-core among {len(before):,} pairs", "a smaller k_core (--k-core)")
    notes.append(
        f"{k}-core: {len(numbered.users) - len(kept_users):,} users, {len(numbered.items) - len(kept_items):,} items "
        f"and {len(before) - len(pairs):,} pairs left out"
    )
    return _Numbered(pairs, numbered.users.gather(kept_users), numbered.items.gather(kept_items))


def _in_all_features(raw: RawData) -> pl.Series | None:
    """Items that every modality has, with or without an interaction."""
    modalities = [features.ids for features in raw.features.values()]
    if not modalities:
        return None
    common = modalities[0]
    for ids in modalities[1:]:
        common = common.filter(positions(common, ids).is_not_null())
    return common


def _distinct_pairs(raw: RawData, users: pl.Series, items: pl.Series, notes: list[str]) -> Pairs:
    given = raw.pairs
    columns = {name: given[name].to_numpy() for name in ("timestamp", "label") if name in given.columns}
    pairs = Pairs(
        users=positions(given["user"], users).to_numpy().astype(np.int32),
        items=positions(given["item"], items).to_numpy().astype(np.int32),
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
            "each pair in one split, or another protocol than the file's labels (--by)",
        ) from None
    if len(once) < len(pairs):
        notes.append(f"{len(pairs) - len(once):,} duplicate interactions: each pair was kept once")
    return once


def _align(
    raw: RawData, items: pl.Series, interacted: BoolArray, fill: Fill, notes: list[str]
) -> tuple[dict[str, FloatArray], dict[str, BoolArray]]:
    """Features `[I, F_m]` in the order of the items, and which rows the files have."""
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
        features[name] = values
        present[name] = has
    return features, present


def _align_one(modality: RawFeatures, items: pl.Series) -> tuple[FloatArray, BoolArray]:
    if modality.ids.equals(items):
        return modality.values, np.ones(len(items), dtype=np.bool_)
    places = positions(modality.ids, items)
    known = places.is_not_null().to_numpy()
    rows = places.drop_nulls().to_numpy()
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
