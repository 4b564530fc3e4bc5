"""Data in memory to a `Dataset`. The checks and the notes are those of the readers of files."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from prismrec.data import check
from prismrec.data.build import Fill, build, protocol_of
from prismrec.data.columnar import checked_sparse, is_sparse, is_table, refuse_objects, to_matrix, to_table
from prismrec.data.dataset import Dataset
from prismrec.data.given_ids import IdColumn, TextIds
from prismrec.data.readers.boundary import LIBRARY_ERRORS, foreign_errors
from prismrec.data.readers.columns import require_column
from prismrec.data.readers.feature_table import feature_id_column, features_of
from prismrec.data.readers.features import notes_of
from prismrec.data.readers.interactions import combine_tables
from prismrec.data.readers.npy import checked
from prismrec.data.readers.raw import (
    ColumnNames,
    RawData,
    RawFeatures,
    ReadOptions,
    UnknownItems,
    parse_conditions,
    several,
)
from prismrec.data.readers.table import id_table, join
from prismrec.data.readers.tabular import Table, without_ignored
from prismrec.data.split import SPLIT_NAMES, SplitSpec
from prismrec.errors import InputError, ParameterError, check_type, printable

_OPTION = re.compile(r" \(--[^()]*\)|, --[a-z-]+( [^ ,]+)?(?=,|$)")
"""An option of the command line that a message names beside a parameter."""


def dataset(
    interactions: Any,
    items: Any = None,
    features: Mapping[str, Any] | None = None,
    users: Any = None,
    *,
    split: SplitSpec | None = None,
    name: str = "data",
    fill: Fill = "mean",
    k_core: int = 0,
    columns: ColumnNames | None = None,
    ignore_columns: Sequence[str] = (),
    where: Sequence[str] = (),
    min_rating: float | None = None,
    unknown_items: UnknownItems = "refuse",
) -> Dataset:
    """Check data in memory and split them.

    A table is a data frame of polars or pandas, an object with the Arrow PyCapsule interface, or a dict of columns.
    A matrix is of NumPy, PyTorch or SciPy. Ids are of any hashable kind.

    Args:
        interactions: a table, or pairs (user, item), or a dict with a table for each of "train", "valid" and "test".
        items: a table with ids and descriptions, or ids alone.
        features: modality → a matrix with a row for each of `items`, or (ids, matrix), or a table with ids.
        users: a table with ids, or ids alone.
        split: the protocol. None uses the labels of a column, or without labels 8:1:1 within each user, seed 0.
        name: what to call the data set.
        fill: the features of an item that lacks a modality: the mean of the modality, or zero.
        k_core: keep only users and items with at least k interactions with each other; 0 keeps all.
        columns: names of columns, if they are not the usual ones.
        ignore_columns: columns to leave out: "COLUMN" in every table, or in one: "items:COLUMN".
        where: conditions that interactions must meet, such as "label=1" or "rating>=4".
        min_rating: the lowest value in the column of ratings; interactions below it are left out.
        unknown_items: "drop" leaves out interactions with items that `items` lacks; "refuse" refuses them.

    Raises:
        InputError: data or a parameter cannot be used; the message says where, what was found and what was expected.
    """
    options = ReadOptions(
        columns=ColumnNames() if columns is None else columns,
        split_by=protocol_of(split),
        ignore_columns=several("ignore_columns", ignore_columns),
        where=parse_conditions(where, min_rating),
        unknown_items=unknown_items,
    )
    with _errors_without_options():
        raw, user_ids, item_ids = _raw_data(interactions, items, features, users, name, options)
        built = build(raw, split=split, fill=fill, k_core=k_core)
    return replace(built, users=user_ids.vocabulary(built.users), items=item_ids.vocabulary(built.items))


@contextmanager
def _errors_without_options() -> Iterator[None]:
    """Turn errors of libraries into an `InputError`, and leave options of the command line out of messages."""
    try:
        with foreign_errors("interactions", "data that can be read", LIBRARY_ERRORS):
            yield
    except ParameterError:
        raise
    except InputError as error:
        raise InputError(error.where, _OPTION.sub("", error.found), _OPTION.sub("", error.expected)) from error


def from_csr(
    matrix: Any,
    items: Any = None,
    features: Mapping[str, Any] | None = None,
    users: Any = None,
    **options: Any,
) -> Dataset:
    """A data set from a sparse matrix of users × items. Every entry that is not 0 is an interaction.

    Args:
        matrix: a sparse matrix or array of SciPy, `[U, I]`. `min_rating` applies to its entries.
        items: as in `dataset`, one for each column. None: the ids are the numbers 0 to I - 1.
        features: as in `dataset`; a matrix has a row for each column of `matrix`.
        users: as in `dataset`, one for each row. None: the ids are the numbers 0 to U - 1.
        options: the other parameters of `dataset`.

    Raises:
        InputError: no sparse matrix, another number of ids than rows or columns, or what `dataset` refuses.
    """
    if not is_sparse(matrix):
        expected = "a sparse matrix of SciPy (scipy.sparse.csr_array(array) makes one from an array)"
        raise InputError("matrix", f"an object of type {type(matrix).__name__}", expected)
    with foreign_errors("matrix", "a sparse matrix with two dimensions"):
        entries = csr_array(checked_sparse(matrix)).tocoo()
        entries.sum_duplicates()
    if entries.ndim != 2 or entries.dtype.kind not in "biuf":
        found = f"a matrix of {entries.dtype} with {entries.ndim} dimensions"
        raise InputError("matrix", found, "real numbers in two dimensions: users × items")
    if not np.isfinite(entries.data).all():
        raise InputError("matrix", "an entry that is NaN or infinite", "finite numbers")
    nonzero = np.flatnonzero(entries.data)
    if not len(nonzero):
        raise InputError("matrix", f"no entry that is not 0 (shape {entries.shape})", "at least one interaction")
    users = range(entries.shape[0]) if users is None else users
    items = range(entries.shape[1]) if items is None else items
    columns = options.get("columns")
    given = ReadOptions(columns=ColumnNames() if columns is None else columns)
    columns = given.columns
    user_ids = _id_table("users", users, "user", given).ids
    item_ids = _id_table("items", items, "item", given).ids
    for parameter, ids, count in (("users", user_ids, entries.shape[0]), ("items", item_ids, entries.shape[1])):
        if len(ids) != count:
            raise InputError(parameter, f"{len(ids):,} ids", f"{count:,}, for a matrix of shape {entries.shape}")
    pairs = {
        columns.user or "user": user_ids[entries.row[nonzero]],
        columns.item or "item": item_ids[entries.col[nonzero]],
    }
    if options.get("min_rating") is not None:
        pairs[columns.rating or "rating"] = pl.Series(entries.data[nonzero])
    return dataset(pairs, items, features, users, **options)


@dataclass(frozen=True)
class _Modality:
    """Features of items before they are read.

    Attributes:
        name: the modality.
        column: the ids, in a table with the features or in one of their own.
        matrix: the features, if they are not in the table.
    """

    name: str
    column: IdColumn
    matrix: Any = None


def _raw_data(
    interactions: Any, items: Any, features: Mapping[str, Any] | None, users: Any, name: str, options: ReadOptions
) -> tuple[RawData, TextIds, TextIds]:
    """All data with text for ids, and the ids of users and of items."""
    check_type("name", name, str, "a text")
    parts = _parts(interactions, options)
    user_columns = [_id_column(table, "user", options) for _, table in parts]
    item_columns = [_id_column(table, "item", options) for _, table in parts]
    user_table = None if users is None else _id_table("users", users, "user", options)
    item_table = None if items is None else _id_table("items", items, "item", options)
    modalities = [] if features is None else _modalities(features, item_table, options)
    user_ids = TextIds([*user_columns, *([user_table] if user_table else [])], "user")
    feature_columns = [modality.column for modality in modalities]
    item_ids = TextIds([*item_columns, *([item_table] if item_table else []), *feature_columns], "item")

    texts = []
    for (label, _), user, item in zip(parts, user_columns, item_columns, strict=True):
        table = user_ids.in_table(user)
        texts.append((label, item_ids.in_table(IdColumn(table, item.name))))
    known_users = None if user_table is None else id_table(user_ids.in_table(user_table), "user", user_table.name)
    known_items = None if item_table is None else id_table(item_ids.in_table(item_table), "item", item_table.name)
    if known_items is not None:
        refuse_objects(known_items)
    path = Path("interactions")
    pairs, notes = join(combine_tables(texts, path, options), known_users, known_items, options)
    read = {modality.name: _read(modality, item_ids, options) for modality in modalities}
    options.require_ignored("the data")
    raw = RawData(
        name=name,
        path=path,
        pairs=pairs.pairs,
        features=read,
        users=None if known_users is None else known_users.frame["user_id"],
        items=None if known_items is None else known_items.frame["item_id"],
        catalog=known_items.frame if known_items is not None and known_items.frame.width > 1 else None,
        notes=(*notes, *notes_of(read)),
    )
    return raw, user_ids, item_ids


def _parts(interactions: Any, options: ReadOptions) -> list[tuple[int | None, Table]]:
    """The tables of interactions; of several, each with its split label."""
    if isinstance(interactions, Mapping) and interactions and set(interactions) <= set(SPLIT_NAMES):
        return [
            (SPLIT_NAMES.index(split), _interaction_table(table, f"interactions[{split!r}]", options))
            for split, table in interactions.items()
        ]
    return [(None, _interaction_table(interactions, "interactions", options))]


def _interaction_table(value: Any, where: str, options: ReadOptions) -> Table:
    if is_table(value):
        return without_ignored(to_table(value, where), options)
    expected = "a table with columns for users and items, or pairs (user, item)"
    if isinstance(value, str | bytes | Path) or is_sparse(value) or not isinstance(value, Iterable):
        way_out = "from_csr reads sparse matrices" if is_sparse(value) else "load reads files"
        raise InputError(where, f"an object of type {type(value).__name__}", f"{expected}; {way_out}")
    pairs = list(np.atleast_1d(to_matrix(value, where)) if hasattr(value, "ndim") else value)
    for row, pair in enumerate(pairs):
        if not isinstance(pair, Sequence | np.ndarray) or isinstance(pair, str | bytes) or len(pair) != 2:
            raise InputError(f"{where}, row {row} (from 0)", repr(pair), f"a pair (user, item); else {expected}")
    return to_table({"user": [user for user, _ in pairs], "item": [item for _, item in pairs]}, where)


def _id_table(parameter: str, value: Any, kind: str, options: ReadOptions) -> IdColumn:
    """The column with ids in a table, or ids alone as a table of one column."""
    if is_table(value):
        return _id_column(without_ignored(to_table(value, parameter), options), kind, options)
    name = f"{kind}_id"
    return IdColumn(to_table({name: value}, parameter), name)


def _id_column(table: Table, kind: str, options: ReadOptions) -> IdColumn:
    given = options.columns.user if kind == "user" else options.columns.item
    if table.path.name in ("users", "items") and given not in table.frame.columns:
        given = None  # the name is that in the interactions
    return IdColumn(table, require_column(table, kind, given))


def _modalities(features: Mapping[str, Any], items: IdColumn | None, options: ReadOptions) -> list[_Modality]:
    if not isinstance(features, Mapping):
        raise InputError("features", f"an object of type {type(features).__name__}", "a dict such as {'image': matrix}")
    modalities = []
    for name, value in features.items():
        if not isinstance(name, str) or printable(name) != name or name[:1] in ("", ".") or set(name) & set("/\\"):
            raise InputError("features", f"a modality called {name!r}", "a name such as 'image'")
        where = f"features[{name!r}]"
        if value is None:
            raise InputError(where, "None", "a matrix, (ids, matrix), or a table with ids")
        if is_table(value):
            table = without_ignored(to_table(value, where), options)
            column = feature_id_column(table.path, table.frame.columns, options.columns.item)
            modalities.append(_Modality(name, IdColumn(table, column)))
        elif isinstance(value, tuple) and len(value) == 2:
            modalities.append(_Modality(name, _id_table(where, value[0], "item", options), value[1]))
        elif items is not None:
            modalities.append(_Modality(name, items, value))
        else:
            raise InputError(where, "a matrix without ids", "(ids, matrix), or a row for each of items")
    return modalities


def _read(modality: _Modality, item_ids: TextIds, options: ReadOptions) -> RawFeatures:
    """The features of a modality, checked."""
    table = item_ids.in_table(modality.column)
    if modality.matrix is None:
        id_table(table, "item", modality.column.name)  # refuses missing and repeated ids, with their rows
        return features_of(table, options)
    path = Path(f"features[{modality.name!r}]")
    values = to_matrix(modality.matrix, str(path))
    ids = id_table(table, "item", modality.column.name).frame["item_id"]
    check.feature_matrix(values.shape, values.dtype, path)
    of_what = "id" if modality.column.table.path == path else f"of {modality.column.table.path}"
    check.feature_rows(path, len(values), len(ids), of_what)
    return checked(values, path, ids)
