"""The layout of LATTICE and MMSSL: `train.json`, `val.json` and `test.json`, and `MODALITY_feat.npy`.

Each JSON file is an object: user number → list of item numbers. The features are beside the JSON files, or one folder
above if these are in a folder `5-core` (or any `*-core`).
"""

import re
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from prismrec.data import check
from prismrec.data.readers.boundary import foreign_errors, require_file
from prismrec.data.readers.features import unread
from prismrec.data.readers.numbered import FEATURES_HINT, feature_paths, with_features
from prismrec.data.readers.raw import RawData, ReadOptions, SourceFiles
from prismrec.data.readers.tabular import read_text
from prismrec.errors import InputError, ParameterError, parse_json

FILES = ("train.json", "val.json", "test.json")
_EXPECTED = "an object: user number → list of item numbers"


def read(files: SourceFiles, options: ReadOptions) -> RawData:
    """Read the three JSON files and the features.

    Raises:
        InputError: a file that cannot be used.
        ParameterError: conditions on columns, which JSON files do not have.
    """
    if options.where:
        raise ParameterError("where", "a condition on a column", "a layout with columns; JSON files have none")
    parts = [_read_split(path, label or 0, options) for label, path in files.parts]
    starts = np.cumsum([0, *map(len, parts)])

    def place(row: int) -> str:
        part = int(np.searchsorted(starts, row, side="right")) - 1
        return f"{files.parts[part][1]}, user '{parts[part]['user'][row - int(starts[part])]}'"

    pairs = pl.concat(parts)
    if pairs.is_empty():
        raise InputError(files.path, "no interactions", "user → list of item numbers in train.json")
    check.plausible_rows(pairs["user"], str(files.path), "user")
    check.plausible_rows(pairs["item"], str(files.path), "item")
    features = _feature_files(files)
    used = {path for _, path in files.parts} | set(features)
    notes = unread(files.folder, used, FEATURES_HINT)
    raw = RawData(name=files.name, path=files.path, pairs=pairs, notes=tuple(notes))
    return with_features(raw, files.folder, features, place, options)


def _feature_files(files: SourceFiles) -> list[Path]:
    """The features in the folder of the JSON files, or in the folder of the source above it, but not in both."""
    beside = feature_paths(files.path)
    above = feature_paths(files.folder) if files.folder != files.path else []
    if beside and above:
        listed = check.listed(path.relative_to(files.folder) for path in (beside[0], above[0]))
        raise InputError(files.folder, f"features in two folders: {listed}", "features in one of them")
    return beside or above


def _distinct_users(pairs: list[tuple[str, Any]], path: Path) -> dict[str, Any]:
    """A JSON object whose names are distinct; JSON itself would keep the last of equal names."""
    lists = dict(pairs)
    if len(lists) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in lists if names.count(name) > 1)
        raise InputError(path, f"user {twice!r} twice", "each user once")
    return lists


def _read_split(path: Path, label: int, options: ReadOptions) -> pl.DataFrame:
    """The pairs of one JSON file: `user`, `item` and `label`."""
    require_file(path, f"{', '.join(FILES)} side by side")
    text = read_text(path, options.memory_limit)
    try:
        lists = parse_json(text, pairs_hook=lambda pairs: _distinct_users(pairs, path))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(path, f"broken JSON ({error})", _EXPECTED) from None
    if not isinstance(lists, dict):
        raise InputError(path, f"a JSON {type(lists).__name__}", _EXPECTED)
    for user, items in lists.items():
        if not re.fullmatch("0|[1-9][0-9]{0,8}", user):
            found = f"user {user!r}"[:60]
            raise InputError(path, found, "a user number: a whole number from 0 on, without leading zeros")
        if not isinstance(items, list):
            raise InputError(f"{path}, user {user!r}", repr(items)[:40], "a list of item numbers")
        for item in items:
            if type(item) is not int or not 0 <= item < 10**9:
                found = f"item {item!r}"[:60]
                raise InputError(f"{path}, user {user!r}", found, "an item number: a whole number from 0 on")
    flat = list(chain.from_iterable(lists.values()))
    with foreign_errors(path, _EXPECTED):
        lengths = np.fromiter(map(len, lists.values()), dtype=np.int64, count=len(lists))
        users = np.repeat(np.array([int(user) for user in lists], dtype=np.int64), lengths)
    return pl.DataFrame(
        {
            "user": pl.Series(users, dtype=pl.Int64),
            "item": pl.Series(flat, dtype=pl.Int64),
            "label": pl.Series([label], dtype=pl.Int8).new_from_index(0, len(flat)),
        }
    )
