"""The Yelp Open Dataset: reviews of businesses, as JSON lines."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from prismrec.data.sources.contract import Content, Rows, Source, SourceFolder, SourceOptions
from prismrec.data.sources.fields import moments
from prismrec.data.sources.records import json_rows

_REVIEW = {"user_id": pl.String, "business_id": pl.String, "stars": pl.Float64, "date": pl.String}
_BUSINESS = {
    **dict.fromkeys(("business_id", "name", "address", "city", "state", "postal_code", "categories"), pl.String),
    **dict.fromkeys(("latitude", "longitude", "stars"), pl.Float64),
    **dict.fromkeys(("review_count", "is_open"), pl.Int64),
}
_USER = {"user_id": pl.String, "review_count": pl.Int64, "yelping_since": pl.String, "average_stars": pl.Float64}
_PREFIX = "yelp_academic_dataset"


def _read(folder: SourceFolder, _options: SourceOptions) -> Content:
    reviews = folder.require(f"{_PREFIX}_review.json", f"{_PREFIX}_review.json.gz")
    businesses = folder.require(f"{_PREFIX}_business.json", f"{_PREFIX}_business.json.gz")
    users = folder.find(f"{_PREFIX}_user.json", f"{_PREFIX}_user.json.gz")
    return Content(
        interactions=_reviews(reviews),
        items=_businesses(businesses),
        users=None if users is None else json_rows(users, _USER),
        files=tuple(path for path in (reviews, businesses, users) if path is not None),
        notes=["interactions are reviews"],
    )


def _reviews(path: Path) -> Iterator[Rows]:
    for rows in json_rows(path, _REVIEW):
        time = moments(rows, "date", "%Y-%m-%d %H:%M:%S").alias("timestamp")
        item = pl.col("business_id").alias("item_id")
        frame = rows.frame.select("user_id", item, pl.col("stars").alias("value"), time)
        yield Rows(frame, rows.path, rows.first)


def _businesses(path: Path) -> Iterator[Rows]:
    for rows in json_rows(path, _BUSINESS):
        names = {"business_id": "item_id", "name": "title", "stars": "average_stars"}
        yield Rows(rows.frame.rename(names), rows.path, rows.first)


SOURCES = (
    Source(
        name="yelp",
        title="Yelp Open Dataset",
        licence="Yelp Dataset Terms of Use: academic use, not to be redistributed.",
        page="https://business.yelp.com/data/resources/open-dataset/",
        read=_read,
        measure="rating",
        by_hand=(
            f"the files {_PREFIX}_*.json of the archive Yelp-JSON.zip, from "
            "https://business.yelp.com/data/resources/open-dataset/ (with a form)"
        ),
    ),
)
