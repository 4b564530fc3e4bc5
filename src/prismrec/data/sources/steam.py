"""Steam reviews and games (Kang and McAuley, ICDM 2018; Pathak et al., SIGIR 2017). Both files are Python literals."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from prismrec.data.sources.contract import Content, Download, Rows, Source, SourceFolder, SourceOptions
from prismrec.data.sources.fields import moments
from prismrec.data.sources.records import Record, joined, json_rows, record_rows

_BASE = "https://cseweb.ucsd.edu/~wckang"
_REVIEW = {"username": pl.String, "product_id": pl.String, "hours": pl.Float64, "date": pl.String}
_FIELDS = ("item_id", "title", "developer", "publisher", "genres", "tags", "specs", "price", "release_date", "url")
_GAME = dict.fromkeys(_FIELDS, pl.String)


def _read(folder: SourceFolder, _options: SourceOptions) -> Content:
    reviews = folder.require("steam_reviews.json.gz", "steam_reviews.json")
    games = folder.find("steam_games.json.gz", "steam_games.json")
    return Content(
        interactions=_reviews(reviews),
        items=None if games is None else record_rows(games, _game, _GAME),
        files=tuple(path for path in (reviews, games) if path is not None),
        notes=["interactions are reviews; users are user names, because most reviews lack a user_id"],
    )


def _reviews(path: Path) -> Iterator[Rows]:
    for rows in json_rows(path, _REVIEW):
        time = moments(rows, "date", "%Y-%m-%d").alias("timestamp")
        ids = [pl.col("username").alias("user_id"), pl.col("product_id").alias("item_id")]
        yield Rows(rows.frame.select(*ids, pl.col("hours").alias("value"), time), rows.path, rows.first)


def _game(record: Record) -> dict[str, object] | None:
    if not record.get("id"):
        return None
    price = record.get("price")
    return {
        "item_id": record["id"],
        "title": record.get("app_name") or record.get("title"),
        "developer": record.get("developer"),
        "publisher": record.get("publisher"),
        "genres": joined(record.get("genres"), ", "),
        "tags": joined(record.get("tags"), ", "),
        "specs": joined(record.get("specs"), ", "),
        "price": None if price is None else str(price),
        "release_date": record.get("release_date"),
        "url": record.get("url"),
    }


SOURCES = (
    Source(
        name="steam",
        title="Steam reviews",
        licence="No licence is stated; published for research, to be cited.",
        page="https://cseweb.ucsd.edu/~jmcauley/datasets.html#steam_data",
        read=_read,
        measure="hours",
        downloads=lambda _part: (
            Download(f"{_BASE}/steam_reviews.json.gz"),
            Download(f"{_BASE}/steam_games.json.gz"),
        ),
    ),
)
