"""MicroLens-50k and -100k (Ni et al., 2023): short videos that users commented on, with titles and covers."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from prismrec.data.sources.contract import TIME, Content, Download, Rows, Source, SourceFolder, SourceOptions
from prismrec.data.sources.fields import Layout, field_rows, numbers, table_rows

_PAIRS = Layout(("user", "item", "timestamp"), header=True)
_TITLES = {
    "50k": ("MicroLens-50k_titles.csv", Layout(("item", "title"), header=True, quoted=True)),
    "100k": ("MicroLens-100k_title_en.csv", Layout(("item", "title"), header=False, quoted=True)),
}
_COUNTS = Layout(("item", "likes", "views"), header=False, separator="\t")
_CATEGORIES = Layout(("item", "category"), header=False, quoted=True)


def _read(folder: SourceFolder, _options: SourceOptions) -> Content:
    size = folder.source.name.removeprefix("microlens-")
    pairs = folder.require(f"MicroLens-{size}_pairs.csv")
    name, layout = _TITLES[size]
    titles = folder.find(name)
    counts = folder.find(f"MicroLens-{size}_likes_and_views.txt")
    categories = folder.find("tags_to_summary.csv")
    files = tuple(path for path in (pairs, titles, counts, categories) if path is not None)
    covers = (f"MicroLens-{size}_covers", "covers", "images")
    return Content(
        interactions=_pairs(pairs),
        items=None if titles is None else _videos(titles, layout, counts, categories),
        pictures=folder.pictures(*covers),
        files=files,
        notes=["interactions are comments on videos"],
    )


def _pairs(path: Path) -> Iterator[Rows]:
    for rows in field_rows(path, _PAIRS):
        time = numbers(rows, "timestamp", pl.Int64).cast(TIME)
        frame = rows.frame.select(pl.col("user").alias("user_id"), pl.col("item").alias("item_id"), time)
        yield Rows(frame, rows.path, rows.first)


def _videos(titles: Path, layout: Layout, counts: Path | None, categories: Path | None) -> Iterator[Rows]:
    others = [] if counts is None else [pl.concat([rows.frame for rows in field_rows(counts, _COUNTS)])]
    others += [] if categories is None else [pl.concat([rows.frame for rows in table_rows(categories, _CATEGORIES)])]
    for rows in table_rows(titles, layout):
        frame = rows.frame
        for other in others:
            frame = frame.join(other.unique("item", keep="first"), on="item", how="left", maintain_order="left")
        yield Rows(frame.rename({"item": "item_id"}), rows.path, rows.first)


def _source(size: str, files: tuple[str, ...]) -> Source:
    downloads = tuple(Download(f"https://recsys.westlake.edu.cn/MicroLens-{size}-Dataset/{name}") for name in files)
    return Source(
        name=f"microlens-{size}",
        title=f"MicroLens-{size}",
        licence="Published for research, to be cited; changed copies may not be offered for download.",
        page="https://github.com/westlake-repl/MicroLens",
        read=_read,
        downloads=lambda _part: downloads,
    )


SOURCES = (
    _source("50k", ("MicroLens-50k_pairs.csv", "MicroLens-50k_titles.csv", "MicroLens-50k_likes_and_views.txt")),
    _source(
        "100k",
        (
            *("MicroLens-100k_pairs.csv", "MicroLens-100k_title_en.csv", "MicroLens-100k_likes_and_views.txt"),
            "tags_to_summary.csv",
        ),
    ),
)
