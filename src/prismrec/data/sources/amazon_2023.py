"""Amazon Reviews 2023 (Hou et al., 2024): reviews and metadata as JSON lines, deduplicated ratings as CSV.

Items are `parent_asin`, the product of which `asin` is a variant. Pictures are addresses, which are not downloaded.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from prismrec.data.sources.contract import (
    TIME,
    Content,
    Download,
    Rows,
    Source,
    SourceFolder,
    SourceOptions,
    gzip_or_plain,
)
from prismrec.data.sources.fields import Layout, field_rows, numbers
from prismrec.data.sources.records import Record, joined, json_rows, record_rows

_BASE = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023"
_CATEGORIES = (
    *("All_Beauty", "Amazon_Fashion", "Appliances", "Arts_Crafts_and_Sewing", "Automotive", "Baby_Products"),
    *("Beauty_and_Personal_Care", "Books", "CDs_and_Vinyl", "Cell_Phones_and_Accessories"),
    *("Clothing_Shoes_and_Jewelry", "Digital_Music", "Electronics", "Gift_Cards", "Grocery_and_Gourmet_Food"),
    *("Handmade_Products", "Health_and_Household", "Health_and_Personal_Care", "Home_and_Kitchen"),
    *("Industrial_and_Scientific", "Kindle_Store", "Magazine_Subscriptions", "Movies_and_TV", "Musical_Instruments"),
    *("Office_Products", "Patio_Lawn_and_Garden", "Pet_Supplies", "Software", "Sports_and_Outdoors"),
    *("Subscription_Boxes", "Tools_and_Home_Improvement", "Toys_and_Games", "Video_Games", "Unknown"),
)
_REVIEW = {"user_id": pl.String, "parent_asin": pl.String, "rating": pl.Float64, "timestamp": pl.Int64}
_RATING = Layout(("user_id", "parent_asin", "rating", "timestamp"), header=True)
_FIELDS = ("item_id", "title", "description", "features", "store", "main_category", "categories", "price", "image_url")
_ITEM = dict.fromkeys(_FIELDS, pl.String)


def _interaction_files(category: str) -> tuple[str, ...]:
    return tuple(f"{category}.{ending}" for ending in ("jsonl.gz", "jsonl", "csv.gz", "csv"))


def _downloads(category: str | None) -> tuple[Download, ...]:
    return (
        Download(f"{_BASE}/raw/review_categories/{category}.jsonl.gz"),
        Download(f"{_BASE}/raw/meta_categories/meta_{category}.jsonl.gz"),
    )


def _read(folder: SourceFolder, options: SourceOptions) -> Content:
    category = folder.choose_part(options.part, _interaction_files)
    path = folder.require(*_interaction_files(category))
    meta = folder.find(*gzip_or_plain(f"meta_{category}.jsonl"))
    return Content(
        interactions=_interactions(path),
        items=None if meta is None else record_rows(meta, _item, _ITEM),
        files=tuple(each for each in (path, meta) if each is not None),
        notes=[f"category {category}; interactions are the ratings in {path.name}; items are parent_asin"],
    )


def _interactions(path: Path) -> Iterator[Rows]:
    is_csv = ".csv" in path.suffixes
    for rows in field_rows(path, _RATING) if is_csv else json_rows(path, _REVIEW):
        value = numbers(rows, "rating", pl.Float64) if is_csv else rows.frame["rating"]
        times = numbers(rows, "timestamp", pl.Int64) if is_csv else rows.frame["timestamp"]
        frame = rows.frame.select("user_id", pl.col("parent_asin").alias("item_id"))
        yield Rows(frame.with_columns(value.alias("value"), times.cast(TIME)), rows.path, rows.first)


def _item(record: Record) -> dict[str, object]:
    price = record.get("price")
    pictures = record.get("images") or []
    main = next((picture for picture in pictures if picture.get("variant") == "MAIN"), pictures[0] if pictures else {})
    return {
        "item_id": record["parent_asin"],
        "title": record.get("title"),
        "description": joined(record.get("description"), "\n"),
        "features": joined(record.get("features"), "\n"),
        "store": record.get("store"),
        "main_category": record.get("main_category"),
        "categories": joined(record.get("categories"), " > "),
        "price": None if price is None else str(price),
        "image_url": main.get("large") or main.get("thumb"),
    }


SOURCES = (
    Source(
        name="amazon-2023",
        title="Amazon Reviews 2023",
        licence="No licence is stated; published for research, to be cited.",
        page="https://amazon-reviews-2023.github.io",
        read=_read,
        measure="rating",
        parts=_CATEGORIES,
        downloads=_downloads,
    ),
)
