"""The LATTICE layout: `5-core/{train,val,test}.json`, user → list of item numbers, and `MODALITY_feat.npy`."""

import json
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl

from prismrec.data import check
from prismrec.data.readers.numbered import with_features
from prismrec.data.readers.raw import RawData, ReadOptions
from prismrec.data.readers.tabular import read_text
from prismrec.errors import InputError

FILES = ("train.json", "val.json", "test.json")


def read(path: Path, options: ReadOptions) -> RawData:
    """Read the three files in the folder of `path` (its `train.json`), and the features one folder above.

    Raises:
        InputError: for anything that is not as described.
    """
    parts = [_read_split(path.with_name(name), label, options) for label, name in enumerate(FILES)]
    starts = np.cumsum([0, *(len(part) for part in parts)])

    def place(row: int) -> str:
        label = int(np.searchsorted(starts, row, side="right")) - 1
        return f"{path.with_name(FILES[label])}, user '{parts[label]['user'][row - int(starts[label])]}'"

    pairs = pl.concat(parts)
    if pairs.is_empty():
        raise InputError(path.parent, "no interactions", "user → list of item numbers in train.json")
    for side in ("user", "item"):
        check.plausible_rows(pairs[side], str(path.parent), side)
    folder = path.parent.parent
    raw = RawData(name=folder.resolve().name, path=path.parent, pairs=pairs)
    return with_features(raw, folder, place, options)


def _read_split(path: Path, label: int, options: ReadOptions) -> pl.DataFrame:
    if not path.is_file():
        raise InputError(path, "no such file", f"{', '.join(FILES)} side by side")
    check.memory(path, options.memory_limit)
    text = read_text(path)
    try:
        lists = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(path, f"broken JSON ({error})", "an object: user number → list of item numbers") from None
    if not isinstance(lists, dict):
        raise InputError(path, f"a JSON {type(lists).__name__}", "an object: user number → list of item numbers")
    for user, items in lists.items():
        if not (user.isascii() and user.isdigit() and len(user) <= 9):
            raise InputError(path, f"user {user!r}", "a user number: a whole number from 0 on")
        if not isinstance(items, list):
            raise InputError(f"{path}, user {user!r}", repr(items)[:40], "a list of item numbers")
    flat = list(chain.from_iterable(lists.values()))
    if not all(type(item) is int and 0 <= item < 10**9 for item in flat):
        user, item = next(
            (user, item)
            for user, items in lists.items()
            for item in items
            if type(item) is not int or not 0 <= item < 10**9
        )
        raise InputError(f"{path}, user {user!r}", f"item {item!r}"[:60], "an item number: a whole number from 0 on")
    lengths = np.fromiter(map(len, lists.values()), dtype=np.int64, count=len(lists))
    users = np.repeat(np.array([int(user) for user in lists], dtype=np.int64), lengths)
    return pl.DataFrame(
        {
            "user": pl.Series(users, dtype=pl.Int64),
            "item": pl.Series(flat, dtype=pl.Int64),
            "label": pl.Series([label], dtype=pl.Int8).new_from_index(0, len(flat)),
        }
    )
