"""Amazon Reviews 2018 (Ni, Li, McAuley, EMNLP 2019): reviews and metadata as JSON lines, ratings as CSV."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from prismrec.data.sources.contract import Content, Download, Rows, Source, SourceFolder, SourceOptions, gzip_or_plain
from prismrec.data.sources.fields import Layout, field_rows, numbers, seconds
from prismrec.data.sources.records import Record, joined, json_rows, record_rows

_BASE = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2"
_CATEGORIES = (
    *("AMAZON_FASHION", "All_Beauty", "Appliances", "Arts_Crafts_and_Sewing", "Automotive", "Books", "CDs_and_Vinyl"),
    *("Cell_Phones_and_Accessories", "Clothing_Shoes_and_Jewelry", "Digital_Music", "Electronics", "Gift_Cards"),
    *("Grocery_and_Gourmet_Food", "Home_and_Kitchen", "Industrial_and_Scientific", "Kindle_Store", "Luxury_Beauty"),
    *("Magazine_Subscriptions", "Movies_and_TV", "Musical_Instruments", "Office_Products", "Patio_Lawn_and_Garden"),
    *("Pet_Supplies", "Prime_Pantry", "Software", "Sports_and_Outdoors", "Tools_and_Home_Improvement"),
    *("Toys_and_Games", "Video_Games"),
)
_REVIEW = {"reviewerID": pl.String, "asin": pl.String, "overall": pl.Float64, "unixReviewTime": pl.Int64}
_RATING = Layout(("item_id", "user_id", "value", "timestamp"), header=False)
"""The item comes first here, unlike in 2014."""
_FIELDS = ("item_id", "title", "description", "features", "brand", "categories", "price", "image_url")
_ITEM = dict.fromkeys(_FIELDS, pl.String)


def _interaction_files(category: str) -> tuple[str, ...]:
    return gzip_or_plain(f"{category}_5.json", f"{category}.json", f"{category}.csv")


def _downloads(category: str | None) -> tuple[Download, ...]:
    return (
        Download(f"{_BASE}/categoryFilesSmall/{category}_5.json.gz"),
        Download(f"{_BASE}/metaFiles2/meta_{category}.json.gz"),
    )


def _read(folder: SourceFolder, options: SourceOptions) -> Content:
    category = folder.choose_part(options.part, _interaction_files)
    path = folder.require(*_interaction_files(category))
    meta = folder.find(*gzip_or_plain(f"meta_{category}.json"))
    return Content(
        interactions=_ratings(path) if ".csv" in path.suffixes else _reviews(path),
        items=None if meta is None else record_rows(meta, _item, _ITEM),
        files=tuple(each for each in (path, meta) if each is not None),
        notes=[f"category {category}; interactions are the ratings in {path.name}"],
    )


def _reviews(path: Path) -> Iterator[Rows]:
    for rows in json_rows(path, _REVIEW):
        columns = [rows.frame["reviewerID"].alias("user_id"), rows.frame["asin"].alias("item_id")]
        columns += [rows.frame["overall"].alias("value"), seconds(rows.frame["unixReviewTime"]).alias("timestamp")]
        yield Rows(pl.DataFrame(columns), rows.path, rows.first)


def _ratings(path: Path) -> Iterator[Rows]:
    for rows in field_rows(path, _RATING):
        value = numbers(rows, "value", pl.Float64)
        timestamp = seconds(numbers(rows, "timestamp", pl.Int64))
        yield Rows(rows.frame.with_columns(value, timestamp), rows.path, rows.first)


def _item(record: Record) -> dict[str, object]:
    pictures = record.get("imageURLHighRes") or record.get("imageURL") or []
    return {
        "item_id": record["asin"],
        "title": record.get("title"),
        "description": joined(record.get("description"), "\n"),
        "features": joined(record.get("feature"), "\n"),
        "brand": record.get("brand") or None,
        "categories": joined(record.get("category"), " > "),
        "price": record.get("price") or None,
        "image_url": pictures[0] if pictures else None,
    }


SOURCES = (
    Source(
        name="amazon-2018",
        title="Amazon Reviews 2018",
        licence="No licence is stated; published for research, to be cited.",
        page="https://nijianmo.github.io/amazon/index.html",
        read=_read,
        measure="rating",
        parts=_CATEGORIES,
        downloads=_downloads,
    ),
)
