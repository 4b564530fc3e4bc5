"""Feature files (npy, npz, safetensors), each with the ids that its rows belong to."""

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from safetensors import safe_open

from prismrec.data import check
from prismrec.data.readers.boundary import exists, foreign_errors, require_file
from prismrec.data.readers.npy import checked, open_npy, read_header, to_array
from prismrec.data.readers.raw import RawFeatures, ReadOptions
from prismrec.data.readers.tabular import Table, read_text
from prismrec.errors import InputError, parse_json

_NPZ = "arrays 'ids' and 'features', as numpy.savez writes them"
_IDS = "a JSON list of item ids, as metadata 'ids' or as its bytes in a uint8 tensor 'ids'"
_SAFETENSORS = "a safetensors file with a tensor 'features'"


def read_npy(path: Path, options: ReadOptions, items: Table | None) -> RawFeatures:
    """Features from `NAME.npy`; the ids are in `NAME.ids.txt`, or in the item table if `npy_order` says so.

    Raises:
        InputError: no valid npy file, no ids, or another number of ids than rows.
    """
    values = open_npy(path, options.memory_limit)
    return checked(values, path, _ids_beside(path, len(values), options, items))


def _ids_beside(path: Path, rows: int, options: ReadOptions, items: Table | None) -> pl.Series:
    listing = path.with_suffix(".ids.txt")
    if exists(listing):
        lines = read_text(listing, options.memory_limit).removesuffix("\n").split("\n")
        ids = pl.Series([line.removesuffix("\r") for line in lines], dtype=pl.String)
        check.distinct_ids(ids, listing)
        check.feature_rows(path, rows, len(ids), f"id in {listing.name}")
        return ids
    if options.npy_order == "items" and items is not None:
        check.feature_rows(path, rows, len(items.frame), f"row of {items.path.name}")
        return items.frame["item_id"]
    expected = f"{listing.name} beside it, one item id per line"
    if options.npy_order == "items":
        raise InputError(path, "no item table to take the ids from", expected)
    order = "npy_order='items' (--npy-order items) if row i belongs to row i of the item table"
    raise InputError(path, "no ids for its rows", f"{expected}, or {order}")


def read_npz(path: Path, options: ReadOptions, _items: Table | None) -> RawFeatures:
    """Features from the arrays `ids` and `features` of `NAME.npz`. Pickled arrays are never loaded.

    Raises:
        InputError: no valid archive, too large, an array missing, or ids that are neither text nor whole numbers.
    """
    require_file(path, _NPZ)
    if not zipfile.is_zipfile(path):
        raise InputError(path, "no npz archive, or a truncated one", _NPZ)
    with foreign_errors(path, _NPZ), zipfile.ZipFile(path) as archive:
        sizes = {member.filename.removesuffix(".npy"): member.file_size for member in archive.infolist()}
        for name in ("ids", "features"):
            if name not in sizes:
                raise InputError(path, f"arrays {check.listed(sizes)}", _NPZ)
            if archive.namelist().count(f"{name}.npy") > 1:
                raise InputError(path, f"two arrays {name!r}", "one of each name")
        check.unpacked_size(path, sizes["ids"] + sizes["features"], options.memory_limit)
        ids = _array_in(archive, "ids", sizes["ids"], path)
        if ids.ndim != 1 or ids.dtype.kind not in "iuU":
            found = f"ids of dtype {ids.dtype} and shape {ids.shape}"
            raise InputError(path, found, "one row of text or whole numbers")
        features = _array_in(archive, "features", sizes["features"], path)
        return checked(features, path, _as_text(ids.tolist()), _others(path, "arrays", sizes))


def _array_in(archive: zipfile.ZipFile, name: str, size: int, path: Path) -> npt.NDArray[Any]:
    with archive.open(f"{name}.npy") as file:
        _, dtype = read_header(file, size, path, name)
        if dtype.hasobject:
            kind = "str" if name == "ids" else "'float32'"
            found = "Python objects, which are never loaded"
            raise InputError(f"{path}, array {name!r}", found, f"text or numbers; store {name}.astype({kind})")
        file.seek(0)
        array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return array


def _others(path: Path, kind: str, names: Iterable[str]) -> tuple[str, ...]:
    """A note on the arrays of a file that are neither ids nor features."""
    others = [name for name in names if name not in ("ids", "features")]
    return (f"{path.name}: {kind} not used: {check.listed(others)}",) if others else ()


def _as_text(ids: Sequence[str | int]) -> pl.Series:
    """Ids as strings.

    Raises:
        UnicodeEncodeError: an id contains half of a surrogate pair.
    """
    return pl.Series([str(identifier) for identifier in ids], dtype=pl.String)


def read_safetensors(path: Path, options: ReadOptions, _items: Table | None) -> RawFeatures:
    """Features from the tensor `features` of `NAME.safetensors`; the ids are a JSON list.

    The list is in the metadata as `ids`, or in a uint8 tensor `ids`.

    Raises:
        InputError: no valid file, too large, or no ids.
    """
    require_file(path, _SAFETENSORS)
    check.unpacked_size(path, path.stat().st_size, options.memory_limit)
    with foreign_errors(path, _SAFETENSORS):
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if "features" not in names:
                raise InputError(path, f"tensors {check.listed(names)}", "a tensor 'features'")
            values = file.get_tensor("features")
            text = (file.metadata() or {}).get("ids")
            if text is None and "ids" in names:
                letters = file.get_tensor("ids")
                if letters.dtype != torch.uint8:
                    raise InputError(path, f"a tensor 'ids' of {letters.dtype}", _IDS)
                text = letters.numpy().tobytes().decode()
        if text is None:
            raise InputError(path, "no ids", _IDS)
        ids = parse_json(text)
        if not isinstance(ids, list) or not all(isinstance(i, str | int) and not isinstance(i, bool) for i in ids):
            expected = 'a list such as ["a", "b"]'
            raise InputError(path, "ids that are no JSON list of text or whole numbers", expected)
        return checked(to_array(values), path, _as_text(ids), _others(path, "tensors", names))
