"""Amazon Reviews 2014 (McAuley et al., SIGIR 2015; He and McAuley, WWW 2016): reviews, metadata, image features.

Reviews are JSON lines. Metadata are Python literals, one dict per line. Image features are records of an ASIN of ten
bytes and 4,096 little-endian float32.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from prismrec.data.sources.contract import (
    Content,
    Download,
    FeatureRows,
    Rows,
    Source,
    SourceFolder,
    SourceOptions,
    gzip_or_plain,
)
from prismrec.data.sources.fields import Layout, field_rows, numbers, seconds
from prismrec.data.sources.records import Record, joined, json_rows, record_rows
from prismrec.errors import InputError
from prismrec.types import FloatArray

_BASE = "http://snap.stanford.edu/data/amazon/productGraph"
_CATEGORIES = (
    *("Amazon_Instant_Video", "Apps_for_Android", "Automotive", "Baby", "Beauty", "Books", "CDs_and_Vinyl"),
    *("Cell_Phones_and_Accessories", "Clothing_Shoes_and_Jewelry", "Digital_Music", "Electronics"),
    *("Grocery_and_Gourmet_Food", "Health_and_Personal_Care", "Home_and_Kitchen", "Kindle_Store", "Movies_and_TV"),
    *("Musical_Instruments", "Office_Products", "Patio_Lawn_and_Garden", "Pet_Supplies", "Sports_and_Outdoors"),
    *("Tools_and_Home_Improvement", "Toys_and_Games", "Video_Games"),
)
_REVIEW = {"reviewerID": pl.String, "asin": pl.String, "overall": pl.Float64, "unixReviewTime": pl.Int64}
_RATING = Layout(("user_id", "item_id", "value", "timestamp"), header=False)
_ITEM = dict.fromkeys(("item_id", "title", "description", "brand", "categories", "price", "image_url"), pl.String)
_WIDTH = 4096
_IMAGE = np.dtype([("asin", "S10"), ("values", "<f4", (_WIDTH,))])
_IMAGES_PER_BLOCK = 256


def _interaction_files(category: str) -> tuple[str, ...]:
    return gzip_or_plain(f"reviews_{category}_5.json", f"reviews_{category}.json", f"ratings_{category}.csv")


def _downloads(category: str | None) -> tuple[Download, ...]:
    return (
        Download(f"{_BASE}/categoryFiles/reviews_{category}_5.json.gz"),
        Download(f"{_BASE}/categoryFiles/meta_{category}.json.gz"),
        Download(f"{_BASE}/image_features/categoryFiles/image_features_{category}.b"),
    )


def _read(folder: SourceFolder, options: SourceOptions) -> Content:
    category = folder.choose_part(options.part, _interaction_files)
    path = folder.require(*_interaction_files(category))
    meta = folder.find(*gzip_or_plain(f"meta_{category}.json"))
    images = folder.find(f"image_features_{category}.b")
    notes = [f"category {category}; interactions are the ratings in {path.name}"]
    return Content(
        interactions=_ratings(path) if path.name.startswith("ratings_") else _reviews(path),
        items=None if meta is None else record_rows(meta, _item, _ITEM),
        features={} if images is None else {"image": FeatureRows(_WIDTH, _image_features(images, notes))},
        files=tuple(each for each in (path, meta, images) if each is not None),
        notes=notes,
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
    price = record.get("price")
    return {
        "item_id": record["asin"],
        "title": record.get("title"),
        "description": joined(record.get("description"), "\n"),
        "brand": record.get("brand"),
        "categories": joined([joined(path, " > ") for path in record.get("categories", [])], "; "),
        "price": None if price is None else str(price),
        "image_url": record.get("imUrl"),
    }


def _image_features(path: Path, notes: list[str]) -> Iterator[tuple[list[str], FloatArray]]:
    zeros = 0
    count = 0
    with path.open("rb") as file:
        while content := file.read(_IMAGES_PER_BLOCK * _IMAGE.itemsize):
            if len(content) % _IMAGE.itemsize:
                found = (
                    f"{len(content) % _IMAGE.itemsize:,} bytes after record {count + len(content) // _IMAGE.itemsize:,}"
                )
                raise InputError(path, found, f"records of {_IMAGE.itemsize:,} bytes; get the file again")
            records = np.frombuffer(content, _IMAGE)
            values = records["values"].astype(np.float32)
            bad = ~np.isfinite(values).all(axis=1)
            if bad.any():
                where = f"{path}, record {count + int(bad.argmax()) + 1}"
                raise InputError(where, "a number that is not finite", f"an ASIN and {_WIDTH:,} float32")
            yield [asin.decode("latin-1") for asin in records["asin"].tolist()], values
            zeros += int((~values.any(axis=1)).sum())
            count += len(records)
    if zeros:
        notes.append(f"{path.name}: {zeros:,} of {count:,} feature rows are zero")


SOURCES = (
    Source(
        name="amazon-2014",
        title="Amazon Reviews 2014",
        licence="No licence is stated; published for research, to be cited.",
        page="https://jmcauley.ucsd.edu/data/amazon/links.html",
        read=_read,
        measure="rating",
        parts=_CATEGORIES,
        downloads=_downloads,
    ),
)
