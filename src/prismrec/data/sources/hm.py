"""H&M Personalized Fashion Recommendations (Kaggle, 2022): purchases, articles with pictures, customers.

Article ids have ten digits, the first of which is 0. Copies that passed through a spreadsheet or pandas often lack it.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl

from prismrec.data.sources.contract import Content, Rows, Source, SourceFolder, SourceOptions
from prismrec.data.sources.fields import Layout, field_rows, moments, table_rows

_PURCHASE = Layout(("t_dat", "customer_id", "article_id", "price", "sales_channel_id"), header=True)
_ARTICLE = Layout(
    (
        *("article_id", "product_code", "prod_name", "product_type_no", "product_type_name", "product_group_name"),
        *("graphical_appearance_no", "graphical_appearance_name", "colour_group_code", "colour_group_name"),
        *("perceived_colour_value_id", "perceived_colour_value_name", "perceived_colour_master_id"),
        *("perceived_colour_master_name", "department_no", "department_name", "index_code", "index_name"),
        *("index_group_no", "index_group_name", "section_no", "section_name", "garment_group_no"),
        *("garment_group_name", "detail_desc"),
    ),
    header=True,
    quoted=True,
)
_CUSTOMER = Layout(
    ("customer_id", "FN", "Active", "club_member_status", "fashion_news_frequency", "age", "postal_code"), header=True
)
_KEPT = (
    *("product_type_name", "product_group_name", "graphical_appearance_name", "colour_group_name"),
    *("department_name", "index_name", "section_name", "garment_group_name"),
)


def _read(folder: SourceFolder, _options: SourceOptions) -> Content:
    purchases = folder.require("transactions_train.csv", "transactions_train.csv.gz")
    articles = folder.require("articles.csv")
    customers = folder.find("customers.csv")
    pictures = folder.path / "images"
    notes = ["interactions are purchases"]
    return Content(
        interactions=_purchases(purchases, notes),
        items=_articles(articles),
        users=None if customers is None else _customers(customers),
        pictures=partial(_picture, pictures) if pictures.is_dir() else None,
        files=tuple(path for path in (purchases, articles, customers) if path is not None),
        notes=notes,
    )


def _purchases(path: Path, notes: list[str]) -> Iterator[Rows]:
    short = 0
    for rows in field_rows(path, _PURCHASE):
        time = moments(rows, "t_dat", "%Y-%m-%d").alias("timestamp")
        ids = rows.frame["article_id"]
        short += int((ids.str.len_bytes() < 10).sum())
        frame = pl.DataFrame([rows.frame["customer_id"].alias("user_id"), _ten_digits(ids).alias("item_id"), time])
        yield Rows(frame, rows.path, rows.first)
    if short:
        notes.append(f"{short:,} article ids with less than ten digits got leading zeros")


def _ten_digits(ids: pl.Series) -> pl.Series:
    return ids.str.zfill(10)


def _articles(path: Path) -> Iterator[Rows]:
    for rows in table_rows(path, _ARTICLE):
        ids = _ten_digits(rows.frame["article_id"]).alias("item_id")
        title = pl.col("prod_name").alias("title")
        description = pl.col("detail_desc").alias("description")
        yield Rows(rows.frame.select(ids, title, description, *_KEPT), rows.path, rows.first)


def _customers(path: Path) -> Iterator[Rows]:
    for rows in field_rows(path, _CUSTOMER):
        columns = ["FN", "Active", "club_member_status", "fashion_news_frequency", "age"]
        yield Rows(rows.frame.select(pl.col("customer_id").alias("user_id"), *columns), rows.path, rows.first)


def _picture(folder: Path, article: str) -> Path | None:
    """The picture of an article; ids are digits, but a damaged one must not lead out of the folder."""
    path = folder / article[:3] / f"{article}.jpg"
    return path if article.isalnum() and path.is_file() else None


SOURCES = (
    Source(
        name="hm",
        title="H&M Personalized Fashion Recommendations",
        licence="Rules of the competition: not commercial, not to be redistributed.",
        page="https://www.kaggle.com/competitions/h-and-m-personalized-fashion-recommendations/data",
        read=_read,
        by_hand=(
            "transactions_train.csv, articles.csv, customers.csv and optionally images/, from "
            "https://www.kaggle.com/competitions/h-and-m-personalized-fashion-recommendations/data (with an account)"
        ),
    ),
)
