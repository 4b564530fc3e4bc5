"""Goodreads (Wan and McAuley, RecSys 2018): books on the shelves of users, by genre, as JSON lines."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from prismrec.data.sources.contract import Content, Download, Rows, Source, SourceFolder, SourceOptions, gzip_or_plain
from prismrec.data.sources.fields import moments
from prismrec.data.sources.records import Record, joined, json_rows, record_rows

_BASE = "https://mcauleylab.ucsd.edu/public_datasets/gdrive/goodreads"
_GENRES = (
    *("children", "comics_graphic", "fantasy_paranormal", "history_biography", "mystery_thriller_crime", "poetry"),
    *("romance", "young_adult"),
)
_SHELVED = {"user_id": pl.String, "book_id": pl.String, "rating": pl.Float64, "date_added": pl.String}
_FIELDS = (
    "item_id",
    "title",
    "description",
    "shelves",
    "publisher",
    "format",
    "year",
    "pages",
    "language",
    "image_url",
)
_BOOK = dict.fromkeys(_FIELDS, pl.String)
_SHELVES_SHOWN = 10


def _interaction_files(genre: str) -> tuple[str, ...]:
    return gzip_or_plain(f"goodreads_interactions_{genre}.json", f"goodreads_reviews_{genre}.json")


def _downloads(genre: str | None) -> tuple[Download, ...]:
    return (
        Download(f"{_BASE}/byGenre/goodreads_interactions_{genre}.json.gz"),
        Download(f"{_BASE}/byGenre/goodreads_books_{genre}.json.gz"),
    )


def _read(folder: SourceFolder, options: SourceOptions) -> Content:
    genre = folder.choose_part(options.part, _interaction_files)
    shelved = folder.require(*_interaction_files(genre))
    books = folder.find(*gzip_or_plain(f"goodreads_books_{genre}.json"))
    return Content(
        interactions=_shelved(shelved),
        items=None if books is None else record_rows(books, _book, _BOOK),
        files=tuple(path for path in (shelved, books) if path is not None),
        notes=[f"genre {genre}; interactions are books on shelves, read or not; a rating of 0 means none"],
    )


def _shelved(path: Path) -> Iterator[Rows]:
    for rows in json_rows(path, _SHELVED):
        time = moments(rows, "date_added", "%a %b %d %H:%M:%S %z %Y").alias("timestamp")
        rating = pl.when(pl.col("rating") > 0).then("rating").alias("value")
        frame = rows.frame.select("user_id", pl.col("book_id").alias("item_id"), rating, time)
        yield Rows(frame, rows.path, rows.first)


def _book(record: Record) -> dict[str, object]:
    shelves = [shelf["name"] for shelf in record.get("popular_shelves", [])[:_SHELVES_SHOWN]]
    return {
        "item_id": record["book_id"],
        "title": record.get("title") or None,
        "description": record.get("description") or None,
        "shelves": joined(shelves, ", "),
        "publisher": record.get("publisher") or None,
        "format": record.get("format") or None,
        "year": record.get("publication_year") or None,
        "pages": record.get("num_pages") or None,
        "language": record.get("language_code") or None,
        "image_url": record.get("image_url") or None,
    }


SOURCES = (
    Source(
        name="goodreads",
        title="Goodreads",
        licence="Academic use; neither to be redistributed nor used commercially; to be cited.",
        page="https://mengtingwan.github.io/data/goodreads.html",
        read=_read,
        measure="rating",
        parts=_GENRES,
        downloads=_downloads,
    ),
)
