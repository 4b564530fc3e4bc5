"""Interactions from one table, or from one table for each split."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from prismrec.data.readers.columns import (
    find_column,
    find_split_column,
    id_column,
    label_column,
    notes_on_labels,
    number_column,
    require_column,
    row_numbers,
    text_of,
    without_empty,
)
from prismrec.data.readers.raw import LABELS_SET_ASIDE, Condition, ReadOptions, SourceFiles, is_number
from prismrec.data.readers.tabular import Table, read_table
from prismrec.data.readers.times import notes_on_units, timestamp_column
from prismrec.data.split import SPLIT_NAMES
from prismrec.errors import InputError

_COMPARE = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, eq=False)
class InteractionTable:
    """Interactions as read.

    Attributes:
        pairs: the columns of `RawData.pairs`; of row-numbered layouts `user` and `item` are Int64.
        rows: the row of each pair in its table, `[E]`.
        parts: the number of the table of each pair, `[E]`.
        tables: the tables.
        notes: what was counted and decided while reading.
    """

    pairs: pl.DataFrame
    rows: pl.Series
    parts: pl.Series
    tables: tuple[Table, ...]
    notes: tuple[str, ...]

    def place(self, pair: int) -> str:
        """The file and line of a pair, for messages."""
        return self.tables[self.parts[pair]].place(self.rows[pair])

    def where(self, keep: pl.Series) -> "InteractionTable":
        """The pairs where the mask `[E]` is true."""
        pairs = self.pairs.filter(keep)
        return InteractionTable(pairs, self.rows.filter(keep), self.parts.filter(keep), self.tables, self.notes)


def read_interactions(files: SourceFiles, options: ReadOptions, *, numbered: bool = False) -> InteractionTable:
    """Read the interactions of a source.

    Args:
        files: the files; if there are several, each one is a split.
        options: columns, conditions, and which columns the split needs.
        numbered: the ids are row numbers.

    Raises:
        InputError: a file or a column that cannot be used, or no row meets the conditions.
    """
    parts = [(label, read_table(path, options)) for label, path in files.parts]
    return combine_tables(parts, files.path, options, numbered=numbered)


def combine_tables(
    parts: Sequence[tuple[int | None, Table]], path: Path, options: ReadOptions, *, numbered: bool = False
) -> InteractionTable:
    """The interactions of tables.

    Args:
        parts: the tables; if there are several, each with its split label (0 train, 1 valid, 2 test).
        path: where they are from, for messages.
        options: columns, conditions, and which columns the split needs.
        numbered: the ids are row numbers.

    Raises:
        InputError: a column that cannot be used, or no row meets the conditions.
    """
    frames = []
    notes: list[str] = []
    for part, (label, table) in enumerate(parts):
        notes += table.notes
        on_conditions: list[str] = []
        kept = table.where(_meets(table, options, on_conditions)) if options.where else table
        frame = _columns(kept, options, label, numbered, notes)
        notes += on_conditions
        frames.append(frame.with_columns(kept.row_numbers.alias("row"), pl.lit(part, dtype=pl.Int64).alias("part")))
    if len(parts) > 1:
        listed = ", ".join(f"{table.path.name} ({SPLIT_NAMES[label or 0]})" for label, table in parts)
        notes.append(f"split labels are the files: {listed}")
    if len({frame.width for frame in frames}) > 1:
        raise InputError(path, "timestamps in some of the files", "timestamps in all files, or in none")
    rows = pl.concat(frames, how="vertical_relaxed")
    if rows.is_empty():
        raise InputError(path, "no row that meets the conditions", "at least one row (--where, --min-rating)")
    if "timestamp" in rows.columns:
        notes += notes_on_units(rows["timestamp"], path.name)
    tables = tuple([table for _, table in parts])
    return InteractionTable(rows.drop("row", "part"), rows["row"], rows["part"], tables, tuple(notes))


def _columns(table: Table, options: ReadOptions, label: int | None, numbered: bool, notes: list[str]) -> pl.DataFrame:
    """The columns of `RawData.pairs` of one table. `label` is the split of all its rows, if the file says so."""
    names = options.columns
    user = require_column(table, "user", names.user)
    item = require_column(table, "item", names.item)
    if user == item:
        raise InputError(table.header, f"column {user!r} for users and items", "two columns")
    read_ids = row_numbers if numbered else _ids
    columns = [read_ids(table, user, "user"), read_ids(table, item, "item")]
    conditional = [_column_of(table, condition, options) for condition in options.where]
    roles = dict.fromkeys(conditional, "condition") | {user: "user", item: "item"}
    if options.needs_times:
        timestamp = find_column(table, "timestamp", names.timestamp)
        if timestamp is not None:
            columns.append(timestamp_column(table, timestamp))
            roles[timestamp] = "time"
    elif names.timestamp is not None:
        find_column(table, "timestamp", names.timestamp)
    if label is not None:
        columns.append(pl.Series("label", [label], dtype=pl.Int8).new_from_index(0, len(table.frame)))
    elif options.needs_labels:
        split = find_split_column(table, names.split, conditional)
        if split is not None:
            columns.append(label_column(table, split))
            roles[split] = "split"
    elif find_column(table, "split", names.split) is not None:
        notes.append(LABELS_SET_ASIDE)
    notes += notes_on_labels(table, roles)
    used = ", ".join(f"{name} ({role})" for name, role in roles.items())
    notes.append(f"{table.path.name}: columns used: {used}")
    unused = [name or "''" for name in table.frame.columns if name not in roles]
    if unused:
        notes.append(f"{table.path.name}: columns not used: {', '.join(unused)}")
    return pl.DataFrame(columns)


def _ids(table: Table, column: str, kind: str) -> pl.Series:
    return id_column(table, column, kind, without_empty(column))


def _column_of(table: Table, condition: Condition, options: ReadOptions) -> str:
    if condition.column is None:
        return require_column(table, "rating", options.columns.rating)
    if condition.column not in table.frame.columns:
        raise InputError(
            table.header,
            f"columns {', '.join(map(repr, table.frame.columns))}",
            f"a column {condition.column!r}, which a condition names (--where)",
        )
    return condition.column


def _meets(table: Table, options: ReadOptions, notes: list[str]) -> pl.Series:
    """Which rows meet all conditions. An empty cell meets none."""
    keep = np.ones(len(table.frame), dtype=np.bool_)
    for condition in options.where:
        column = _column_of(table, condition, options)
        compare = _COMPARE[condition.operator]
        if is_number(condition.value):
            met = compare(number_column(table, column), float(condition.value))
        else:
            met = compare(text_of(table, column), condition.value)
        keep &= met.fill_null(False).to_numpy()
        left_out = int((~met.fill_null(False)).sum())
        notes.append(
            f"{table.path.name}: {left_out:,} of {len(keep):,} rows do not meet "
            f"{column} {condition.operator} {condition.value or repr('')} and were left out"
        )
    return pl.Series(keep)


def drop_unknown(interactions: InteractionTable, known: pl.Series, kind: str) -> tuple[InteractionTable, int]:
    """The interactions with a known user or item, and the number of distinct unknown ids."""
    unknown = is_unknown(interactions.pairs[kind], known)
    count = interactions.pairs[kind].filter(unknown).n_unique()
    return interactions.where(~unknown), count


def is_unknown(ids: pl.Series, known: pl.Series) -> pl.Series:
    """Which ids are not among the known ones."""
    return ids.cast(pl.Enum(known), strict=False).is_null()
