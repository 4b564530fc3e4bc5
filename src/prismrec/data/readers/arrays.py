"""Feature matrices on disk (npy, npz, Parquet, safetensors), each with the ids that its rows belong to."""

import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from safetensors import SafetensorError, safe_open

from prismrec.data import check
from prismrec.data.readers.columns import id_column
from prismrec.data.readers.raw import RawFeatures, ReadOptions
from prismrec.data.readers.tabular import Table, read_table, read_text
from prismrec.errors import InputError


def open_npy(path: Path, memory_limit: int | None = None) -> npt.NDArray[Any]:
    """Map an npy file into memory, checked but not yet copied; pickled content is never loaded.

    Raises:
        InputError: not an npy file, pickled, truncated, or not a matrix of real numbers.
    """
    check.memory(path, memory_limit)
    with path.open("rb") as file:
        magic = file.read(6)
    if magic != b"\x93NUMPY":
        pickled = magic.startswith(b"\x80")
        raise InputError(
            path,
            "a pickle, which is never loaded" if pickled else f"a file that starts with {magic!r}",
            "an npy file, as numpy.save writes it from an array of numbers",
        )
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = header(file)
            stored = path.stat().st_size - file.tell()
    except Exception as error:  # numpy parses the header as Python source, which can fail in many ways
        raise InputError(path, f"a broken npy header ({error})", "a whole npy file") from None
    check.feature_matrix(shape, dtype, path)
    needed = math.prod(shape) * dtype.itemsize
    if stored < needed:
        raise InputError(
            path, f"{stored:,} bytes of numbers", f"{needed:,} for {dtype} {list(shape)}: the file is truncated"
        )
    mapped: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped


def checked(values: npt.NDArray[Any], path: Path, ids: pl.Series) -> RawFeatures:
    """Features as finite float32 with one distinct id for each row.

    Raises:
        InputError: the wrong shape, number of rows or kind of numbers, a repeated id, NaN or infinity.
    """
    check.feature_matrix(values.shape, values.dtype, path)
    check.feature_rows(path, len(values), len(ids), "id")
    check.distinct_ids(ids, path)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused just below
        numbers = np.array(values, dtype=np.float32, order="C")
    check.finite(numbers, path, ids)
    return RawFeatures(path, ids, numbers)


def features_with_ids(folder: Path, options: ReadOptions, items: Table | None) -> dict[str, RawFeatures]:
    """The modalities in `folder/NAME.{npy,npz,parquet,safetensors}`, each with the ids of its rows.

    Args:
        folder: usually `features`; it may be missing.
        options: which modalities, and whether npy rows follow the item table.
        items: the item table with its ids in column `item_id`, if there is one.
    """
    paths = [path for path in sorted(folder.glob("*")) if path.suffix in _READERS]
    features: dict[str, RawFeatures] = {}
    for name in check.modality_names(options.modalities, {path.stem for path in paths}, folder):
        path = check.only_one([path for path in paths if path.stem == name], folder, f"file for {name!r}")
        check.memory(path, options.memory_limit)
        features[name] = _READERS[path.suffix](path, options, items)
    return features


def unread(folder: Path) -> list[str]:
    """What looks like features in a tabular folder but is not where, or how, it would be read."""
    return [
        f"{path.relative_to(folder)}: not read; features are read from features/NAME with {', '.join(_READERS)}"
        for path in [*sorted(folder.glob("*.np[yz]")), *sorted(folder.glob("features/*"))]
        if path.parent == folder or not path.name.endswith((*_READERS, ".ids.txt"))
    ]


def _read_npy(path: Path, options: ReadOptions, items: Table | None) -> RawFeatures:
    values = open_npy(path)
    return checked(values, path, _ids_beside(path, len(values), options, items))


def _ids_beside(path: Path, rows: int, options: ReadOptions, items: Table | None) -> pl.Series:
    """The ids of an npy: from `NAME.ids.txt`, or from the item table if the user said so."""
    listing = path.with_suffix(".ids.txt")
    if listing.is_file():
        lines = read_text(listing).removesuffix("\n").split("\n")
        ids = pl.Series([line.removesuffix("\r") for line in lines], dtype=pl.String)
        check.distinct_ids(ids, listing)
        check.feature_rows(path, rows, len(ids), f"id in {listing.name}")
        return ids
    if options.npy_order == "items" and items is not None:
        check.feature_rows(path, rows, len(items.frame), f"row of {items.path.name}")
        return items.frame["item_id"]
    raise InputError(
        path,
        "no ids for its rows" if options.npy_order is None else "no item table to take the ids from",
        f"{listing.name} beside it, one item id per line"
        + (", or --npy-order items if row i belongs to row i of the item table" if options.npy_order is None else ""),
    )


def _read_npz(path: Path, _options: ReadOptions, _items: Table | None) -> RawFeatures:
    expected = "arrays 'ids' and 'features', as numpy.savez writes them"
    if not zipfile.is_zipfile(path):
        raise InputError(path, "no npz archive, or a truncated one", expected)
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays: Mapping[str, npt.NDArray[Any]] = dict(archive)
    except Exception as error:  # a damaged archive can fail anywhere in zipfile, zlib or numpy
        if "allow_pickle" in str(error):
            found, expected = "Python objects, which are never loaded", f"{expected}; store ids.astype(str)"
        else:
            found = f"something unreadable ({error})"
        raise InputError(path, found, expected) from None
    for name in ("ids", "features"):
        if name not in arrays:
            raise InputError(path, f"arrays {check.listed(arrays)}", expected)
    return checked(arrays["features"], path, _as_ids(arrays["ids"], path))


def _as_ids(ids: npt.NDArray[Any], path: Path) -> pl.Series:
    if ids.ndim != 1 or ids.dtype.kind not in "iuU":
        raise InputError(path, f"ids of dtype {ids.dtype} and shape {ids.shape}", "one row of text or whole numbers")
    return pl.Series(ids.tolist()).cast(pl.String)


def _read_parquet(path: Path, _options: ReadOptions, _items: Table | None) -> RawFeatures:
    table = read_table(path)
    frame = table.frame
    id_name = next((name for name in frame.columns if name.lower() in ("item_id", "itemid", "item", "id")), None)
    if id_name is None:
        raise InputError(path, f"columns {check.listed(frame.columns)}", "an id column: item_id, itemID, item or id")
    ids = id_column(table, id_name, "item")
    rest = frame.drop(id_name)
    if any(column.null_count() for column in rest):
        raise InputError(path, "an empty cell", "a number in each; leave an item's row out to have it filled")
    if len(rest.columns) == 1 and isinstance(rest.dtypes[0], pl.List | pl.Array):
        values = _stacked(rest.to_series(), path, ids)
    elif rest.columns and all(dtype.is_float() or dtype.is_integer() for dtype in rest.dtypes):
        values = rest.to_numpy()
    else:
        columns = check.listed(f"{name}: {dtype}" for name, dtype in rest.schema.items())
        raise InputError(path, f"columns {columns}", "one column of lists, or only numeric columns, beside the ids")
    return checked(values, path, ids)


def _stacked(lists: pl.Series, path: Path, ids: pl.Series) -> npt.NDArray[Any]:
    """A column of equally long lists as a matrix."""
    if isinstance(lists.dtype, pl.Array):
        lists = lists.arr.to_list()
    widths = lists.list.len()
    width = int(widths[0])
    odd = widths != width
    if odd.any():
        row = odd.arg_max() or 0
        raise InputError(
            f"{path}, row {row + 1} (item {ids[row]!r})", f"{widths[row]} numbers", f"{width}, as on row 1"
        )
    flat = lists.explode() if width else pl.Series([], dtype=pl.Float32)
    if not (flat.dtype.is_float() or flat.dtype.is_integer()) or flat.null_count():
        raise InputError(path, f"lists of {flat.dtype}, {flat.null_count()} entries empty", "lists of numbers")
    return flat.to_numpy().reshape(len(lists), width)


def _read_safetensors(path: Path, _options: ReadOptions, _items: Table | None) -> RawFeatures:
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if "features" not in names:
                raise InputError(path, f"tensors {check.listed(names)}", "a tensor 'features'")
            values = file.get_tensor("features")
            text = (file.metadata() or {}).get("ids")
            if text is None and "ids" in names:
                text = file.get_tensor("ids").to(torch.uint8).numpy().tobytes().decode()
        if text is None:
            raise InputError(path, "no ids", "a JSON list of item ids, as metadata 'ids' or as a uint8 tensor 'ids'")
        ids = json.loads(text)
    except (SafetensorError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(path, f"something unreadable ({error})", "a safetensors file") from None
    if not isinstance(ids, list) or not all(isinstance(i, str | int) and not isinstance(i, bool) for i in ids):
        raise InputError(path, "ids that are no JSON list of text or whole numbers", 'a list such as ["a", "b"]')
    numbers = values.float() if values.is_floating_point() else values
    return checked(numbers.numpy(), path, pl.Series([str(i) for i in ids], dtype=pl.String))


_READERS = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".parquet": _read_parquet,
    ".safetensors": _read_safetensors,
}
