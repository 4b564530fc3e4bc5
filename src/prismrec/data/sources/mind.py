"""MIND (Wu et al., ACL 2020): news articles shown to users of Microsoft News, and which of them they clicked.

`behaviors.tsv` has a line per impression: its number, the user, the time, the clicks before the log began, and the
articles shown, each with `-1` if it was clicked and `-0` if not. `news.tsv` describes the articles.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from prismrec.data.sources.contract import Content, Download, Rows, Source, SourceFolder, SourceOptions
from prismrec.data.sources.fields import Layout, field_rows, moments
from prismrec.errors import InputError

_BASE = "https://recodatasets.z20.web.core.windows.net/newsrec"
_BEHAVIOUR = Layout(("impression", "user_id", "time", "history", "shown"), header=False, separator="\t")
_NEWS = Layout(
    ("item_id", "category", "subcategory", "title", "abstract", "url", "title_entities", "abstract_entities"),
    header=False,
    separator="\t",
)
_CHECKSUMS = {
    "small_train": "md5:bd6ae77fa15949653f39829e946d327c",
    "small_dev": "md5:1c9e798fe440c1999547211cd5245e3e",
    "large_train": "md5:0bfe5f08404a69b2bd76721e7b7f7d5d",
    "large_dev": "md5:64b9fc265c16814ba0f470542ef6cd69",
}


def _read(folder: SourceFolder, options: SourceOptions) -> Content:
    size = folder.source.name.removeprefix("mind-")
    sections = [f"MIND{size}_{section}/" for section in ("train", "dev")]
    found = [section for section in sections if folder.find(f"{section}behaviors.tsv")] or [""]
    behaviours = [folder.require(f"{section}behaviors.tsv", f"{sections[0]}behaviors.tsv") for section in found]
    news = [folder.require(f"{section}news.tsv") for section in found]
    history = "with" if options.history else "without"
    return Content(
        interactions=(rows for path in behaviours for rows in _clicks(path, options.history)),
        items=(_described(rows) for path in news for rows in field_rows(path, _NEWS)),
        files=(*behaviours, *news),
        notes=[
            f"interactions are clicks in {', '.join(section.strip('/') for section in found) or folder.path.name}, "
            f"{history} the clicks before the log began (history)"
        ],
    )


def _clicks(path: Path, history: bool) -> Iterator[Rows]:
    """The clicks of the log. Earlier clicks get the time of the impression: they happened before it."""
    for rows in field_rows(path, _BEHAVIOUR):
        times = moments(rows, "time", "%m/%d/%Y %I:%M:%S %p").alias("timestamp")
        frame = rows.frame.with_columns(times, pl.col("shown").str.split(" "))
        shown = frame.select("user_id", "timestamp", pl.col("shown")).explode("shown")
        _check_marks(shown, path)
        clicked = shown.filter(pl.col("shown").str.ends_with("-1"))
        parts = [clicked.select("user_id", pl.col("shown").str.strip_suffix("-1").alias("item_id"), "timestamp")]
        if history:
            earlier = frame.select("user_id", pl.col("history").str.split(" ").alias("item_id"), "timestamp")
            earlier = earlier.filter(pl.col("item_id").is_not_null()).explode("item_id")
            earlier = earlier.sort("timestamp").unique(["user_id", "item_id"], keep="first", maintain_order=True)
            parts.append(earlier)
        yield Rows(pl.concat(parts), rows.path, rows.first)


def _check_marks(shown: pl.DataFrame, path: Path) -> None:
    unmarked = ~shown["shown"].str.contains("-[01]$").fill_null(False)
    if unmarked.any():
        value = shown["shown"][unmarked.arg_max() or 0]
        raise InputError(
            path, f"an article shown without -0 or -1: {value!r}", "a log with clicks; the test log has none"
        )


def _described(rows: Rows) -> Rows:
    columns = ["item_id", "title", pl.col("abstract").alias("description"), "category", "subcategory", "url"]
    return Rows(rows.frame.select(columns), rows.path, rows.first)


def _source(size: str) -> Source:
    sections = (f"{size}_train", f"{size}_dev")
    downloads = tuple(Download(f"{_BASE}/MIND{each}.zip", checksum=_CHECKSUMS[each]) for each in sections)
    return Source(
        name=f"mind-{size}",
        title=f"MIND-{size}",
        licence="Microsoft Research License Terms: research, not commercial.",
        page="https://msnews.github.io",
        read=_read,
        downloads=lambda _part: downloads,
        has_history=True,
    )


SOURCES = (_source("small"), _source("large"))
