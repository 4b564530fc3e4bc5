"""The item table, user table, features and pictures of an imported data set."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from prismrec.data.ids import positions
from prismrec.data.sources.contract import Content, Rows
from prismrec.data.sources.encoded import Encoded, write_features
from prismrec.errors import InputError
from prismrec.files import require_space
from prismrec.types import FloatArray

_ROWS_AT_ONCE = 2**17
"""Looking ids up takes time for all ids of the data set, so it should be done for many rows."""


class Written(NamedTuple):
    """What was written beside the interactions."""

    users: int
    items: int
    notes: list[str]


def write_contents(
    encoded: Encoded, content: Content, out: Path, all_items: bool, features: bool, pictures: bool
) -> Written:
    """Write what the source says about users and items.

    Args:
        encoded: the interactions.
        content: of the source; its interactions have been read.
        out: the folder.
        all_items: also items without an interaction.
        features: write features.
        pictures: write pictures.

    Raises:
        InputError: a file that cannot be used.
    """
    notes: list[str] = []
    users = encoded.users.gather(np.unique(encoded.pairs.users))
    items = encoded.items.gather(np.unique(encoded.pairs.items))
    if content.users is not None:
        table = _table(content.users, "user", users, False, notes)
        table.write_parquet(out / "users.parquet")
    catalog = pl.DataFrame({"item_id": items})
    if content.items is not None:
        catalog = _table(content.items, "item", items, all_items, notes)
    if pictures and content.pictures is not None:
        catalog = _with_pictures(catalog, content.pictures, out, notes)
    if len(catalog.columns) > 1:
        catalog.write_parquet(out / "items.parquet")
    if features and content.features:
        (out / "features").mkdir()
        for name, rows in content.features.items():
            chosen = _chosen(rows.blocks, catalog["item_id"])
            count = write_features(out / "features" / f"{name}.npy", rows.width, chosen)
            notes.append(f"{name}: features of {count:,} of {catalog.height:,} items")
            if not count:
                raise InputError(out.name, f"no features {name!r} of any item", "features of the items of the source")
    return Written(len(users), catalog.height, notes)


def _table(parts: Iterator[Rows], kind: str, ids: pl.Series, keep_all: bool, notes: list[str]) -> pl.DataFrame:
    """The first row of each id, in the order of the ids. An id that the source does not describe has empty cells."""
    column = f"{kind}_id"
    kept = list(_described(parts, column, None if keep_all else ids))
    if not kept:
        return pl.DataFrame({column: ids})
    found = pl.concat(kept)
    repeated = found.height - found[column].n_unique()
    found = found.unique(column, keep="first", maintain_order=True)
    if repeated:
        notes.append(f"{repeated:,} {kind}s are described more than once; the first description was kept")
    unknown = ids.filter(positions(ids, found[column]).is_null())
    if len(unknown):
        notes.append(f"{len(unknown):,} {kind}s with interactions are not described, such as {unknown[0]!r}")
    found = pl.concat([found, pl.DataFrame({column: unknown})], how="diagonal")
    if keep_all:
        return found.sort(column)
    return pl.DataFrame({column: ids}).join(found, on=column, how="left", maintain_order="left")


def _described(parts: Iterator[Rows], column: str, ids: pl.Series | None) -> Iterator[pl.DataFrame]:
    """The rows of some ids, or of all."""
    waiting: list[pl.DataFrame] = []
    for rows in parts:
        rows.require_ids(column)
        waiting.append(rows.frame)
        if sum(frame.height for frame in waiting) >= _ROWS_AT_ONCE:
            yield _of_ids(pl.concat(waiting), column, ids)
            waiting = []
    if waiting:
        yield _of_ids(pl.concat(waiting), column, ids)


def _of_ids(frame: pl.DataFrame, column: str, ids: pl.Series | None) -> pl.DataFrame:
    return frame if ids is None else frame.filter(pl.col(column).is_in(ids.implode()))


def _chosen(blocks: Iterator[tuple[list[str], FloatArray]], items: pl.Series) -> Iterator[tuple[list[str], FloatArray]]:
    """The feature rows of some items, each item once."""
    wanted = set(items.to_list())
    for ids, values in blocks:
        rows = []
        for row, identifier in enumerate(ids):
            if identifier in wanted:
                wanted.discard(identifier)
                rows.append(row)
        if rows:
            yield [ids[row] for row in rows], values[rows]


def _with_pictures(
    catalog: pl.DataFrame, picture_of: Callable[[str], Path | None], out: Path, notes: list[str]
) -> pl.DataFrame:
    """Link the pictures of the items into `images/`, and add their paths as column `image`."""
    found = [picture_of(identifier) for identifier in catalog["item_id"]]
    count = sum(path is not None for path in found)
    notes.append(f"pictures of {count:,} of {catalog.height:,} items")
    if not count:
        return catalog
    folder = out / "images"
    folder.mkdir()
    names: list[str | None] = []
    for path in found:
        if path is None:
            names.append(None)
            continue
        target = folder / path.name
        _link(path, target)
        names.append(f"images/{target.name}")
    return catalog.with_columns(pl.Series("image", names, dtype=pl.String))


def _link(path: Path, target: Path) -> None:
    """Make a hard link, or a copy if the file system cannot."""
    try:
        os.link(path, target, follow_symlinks=True)
    except OSError:
        require_space(target.parent, path.stat().st_size)
        shutil.copyfile(path, target)
