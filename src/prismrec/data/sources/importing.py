"""From the files of a public data set to a folder in prismrec's own layout. The folder is complete or absent."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import polars as pl

from prismrec.data.import_record import ImportRecord, Step
from prismrec.data.pairs import k_core as largest_core
from prismrec.data.readers.boundary import is_folder
from prismrec.data.sources.contract import TIME, Content, Rows, Source, SourceFolder, SourceOptions
from prismrec.data.sources.encoded import Encoded, encode, store
from prismrec.data.sources.options import ImportOptions
from prismrec.data.sources.registry import find_source
from prismrec.data.sources.releases import import_release
from prismrec.data.sources.tables import write_contents
from prismrec.data.split import SPLIT_NAMES, split_labels
from prismrec.errors import InputError
from prismrec.files import new_folder

Progress = Callable[[int], None]
"""Gets the number of interactions read so far."""


@dataclass(eq=False)
class _Log:
    """The interactions after each step."""

    names: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    def add(self, name: str, count: int) -> None:
        self.names.append(name)
        self.counts.append(count)

    def steps(self) -> tuple[Step, ...]:
        return tuple(Step(name, count) for name, count in zip(self.names, self.counts, strict=True))


def import_source(
    source: str,
    folder: Path | str,
    out: Path | str,
    options: ImportOptions | None = None,
    *,
    progress: Progress | None = None,
) -> ImportRecord:
    """Read the files of a public data set, and write them in the tabular layout.

    Args:
        source: its name, if needed with its part: `ml-1m`, `amazon-2014:Baby`.
        folder: where its files are, as `fetch` leaves them or as the publisher names them.
        out: a new or empty folder.
        options: which interactions to keep, and what to write.
        progress: gets the number of interactions read so far.

    Returns:
        What `import.json` in `out` says: the files, the options, and the interactions after each step.

    Raises:
        InputError: a file is missing or damaged, or nothing remains; `out` is not an empty folder.
        ParameterError: an unknown source, or an option that makes no sense for it.
    """
    options = options or ImportOptions()
    found, part = find_source(source)
    options.check(found)
    folder = Path(folder)
    is_folder(folder, f"a folder with the files of {found.title}")
    with new_folder(Path(out)) as unfinished:
        if found.layout is not None:
            record = import_release(found, part, folder, unfinished, options)
        else:
            content = found.read(SourceFolder(folder, found), SourceOptions(part=part, history=options.history))
            record = _write(found, part, content, unfinished, options, progress or (lambda _count: None))
        record.write(unfinished)
    return record


def _write(
    source: Source, part: str | None, content: Content, out: Path, options: ImportOptions, progress: Progress
) -> ImportRecord:
    log = _Log()
    parts = out / "unfinished"
    parts.mkdir()
    selected = _select(content.interactions, source, options, log, progress)
    if not store(selected, parts):
        raise _nothing_left(content, log)
    encoded = encode(parts)
    shutil.rmtree(parts)
    log.add("each pair of user and item once", len(encoded.pairs))
    if options.k_core:
        encoded = encoded.only(largest_core(encoded.pairs, options.k_core))
        log.add(f"{options.k_core}-core", len(encoded.pairs))
        if not len(encoded.pairs):
            raise _nothing_left(content, log)
    _write_interactions(encoded, out, source, options)
    counts = write_contents(encoded, content, out, options.all_items, options.features, options.pictures)
    return ImportRecord(
        source=source.check_part(part),
        title=source.title,
        licence=source.licence,
        page=source.page,
        version=version("prismrec"),
        files={_shown(path): path.stat().st_size for path in content.files},
        options=options.given(),
        steps=log.steps(),
        users=counts.users,
        items=counts.items,
        notes=(*content.notes, *counts.notes),
    )


def _shown(path: Path) -> str:
    """The name of a file, with its folder: MIND has `behaviors.tsv` twice."""
    return f"{path.parent.name}/{path.name}"


def _nothing_left(content: Content, log: _Log) -> InputError:
    steps = [f"{step.name}: {step.interactions:,}" for step in log.steps()]
    where = content.files[0] if content.files else "the source"
    return InputError(where, f"no interaction left ({'; '.join(steps)})", "weaker conditions, or other files")


def _select(
    parts: Iterator[Rows], source: Source, options: ImportOptions, log: _Log, progress: Progress
) -> Iterator[pl.DataFrame]:
    """Check interactions and drop the ones that the options exclude. The log is complete when the iterator ends."""
    conditions = _conditions(source, options)
    counts = [0] * (len(conditions) + 1)
    for rows in parts:
        _check(rows)
        frame = rows.frame
        counts[0] += frame.height
        progress(counts[0])
        for index, (_, condition) in enumerate(conditions, 1):
            frame = condition(rows.path, frame)
            counts[index] += frame.height
        if frame.height:
            yield frame
    for name, count in zip(["in the files", *[name for name, _ in conditions]], counts, strict=True):
        log.add(name, count)


_Condition = Callable[[Path, pl.DataFrame], pl.DataFrame]


def _conditions(source: Source, options: ImportOptions) -> list[tuple[str, _Condition]]:
    conditions: list[tuple[str, _Condition]] = []
    threshold = options.threshold(source.measure) if source.measure else None
    if threshold is not None:
        conditions.append((f"{source.measure} >= {threshold:g}", partial(_at_least, threshold)))
    if options.since is not None:
        conditions.append((f"from {options.since}", partial(_in_time, "since", options.since)))
    if options.until is not None:
        conditions.append((f"before {options.until}", partial(_in_time, "until", options.until)))
    return conditions


def _at_least(threshold: float, path: Path, frame: pl.DataFrame) -> pl.DataFrame:
    if "value" not in frame.columns:
        raise InputError(path, "interactions without values", "no --min-rating, --min-plays or --min-hours")
    return frame.filter(pl.col("value") >= threshold)


def _in_time(side: Literal["since", "until"], day: date, path: Path, frame: pl.DataFrame) -> pl.DataFrame:
    if "timestamp" not in frame.columns:
        raise InputError(path, "no times", "an import without since and until (--since, --until)")
    moment = pl.lit(day).cast(TIME)
    return frame.filter(pl.col("timestamp") >= moment if side == "since" else pl.col("timestamp") < moment)


def _check(rows: Rows) -> None:
    """Refuse unusable ids and missing times."""
    for column in ("user_id", "item_id"):
        rows.require_ids(column)
    if "timestamp" in rows.frame.columns and rows.frame["timestamp"].null_count():
        row = rows.frame["timestamp"].is_null().arg_max() or 0
        raise InputError(rows.place(row), "no time", "a time in every record")


def _write_interactions(encoded: Encoded, out: Path, source: Source, options: ImportOptions) -> None:
    pairs = encoded.pairs
    columns: dict[str, pl.Series] = {
        "user_id": encoded.users.gather(pairs.users),
        "item_id": encoded.items.gather(pairs.items),
    }
    if encoded.values is not None and source.measure is not None:
        columns[source.measure] = pl.Series(encoded.values).fill_nan(None)
    if pairs.timestamps is not None:
        columns["timestamp"] = pl.Series(pairs.timestamps).cast(TIME)
    if options.split is not None:
        labels = split_labels(pairs, options.split, source.title)
        columns["split"] = pl.Series(SPLIT_NAMES).gather(labels)
    pl.DataFrame(columns).write_parquet(out / "interactions.parquet")
