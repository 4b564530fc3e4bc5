"""MovieLens (Harper and Konstan, TiiS 2015): 100K (tabs, latin-1), 1M and 10M (`::`), 20M to 32M (CSV).

Posters are not part of MovieLens. Pictures named by movie id, in a folder `posters` or `images`, are taken along.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import polars as pl

from prismrec.data.sources.contract import Content, Download, Rows, Source, SourceFolder, SourceOptions
from prismrec.data.sources.fields import Layout, field_rows, numbers, seconds, table_rows

_BASE = "https://files.grouplens.org/datasets/movielens"
_GENRES_100K = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
_RATING = ("user_id", "item_id", "value", "timestamp")
_MOVIE = ("item_id", "title", "genres")
_USER_100K = ("user_id", "age", "gender", "occupation", "zip")
_USER_1M = ("user_id", "gender", "age", "occupation", "zip")
_MOVIE_100K = ("item_id", "title", "release_date", "video_release_date", "imdb_url", *_GENRES_100K)
_OCCUPATIONS_1M = (
    *("other or not specified", "academic/educator", "artist", "clerical/admin", "college/grad student"),
    *("customer service", "doctor/health care", "executive/managerial", "farmer", "homemaker", "K-12 student"),
    *("lawyer", "programmer", "retired", "sales/marketing", "scientist", "self-employed", "technician/engineer"),
    *("tradesman/craftsman", "unemployed", "writer"),
)


def _content(folder: SourceFolder, ratings: Path, layout: Layout, items: tuple[Path, Iterator[Rows]]) -> Content:
    movies, rows = items
    return Content(
        interactions=_ratings(ratings, layout),
        items=rows,
        pictures=folder.pictures("posters", "images"),
        files=(ratings, movies),
        notes=["interactions are ratings"],
    )


def _ratings(path: Path, layout: Layout) -> Iterator[Rows]:
    names = dict(zip(layout.columns, _RATING, strict=True))
    for rows in field_rows(path, layout):
        named = Rows(rows.frame.rename(names), rows.path, rows.first)
        value = numbers(named, "value", pl.Float64)
        timestamp = seconds(numbers(named, "timestamp", pl.Int64))
        yield Rows(named.frame.with_columns(value, timestamp), rows.path, rows.first)


def _read_100k(folder: SourceFolder, _options: SourceOptions) -> Content:
    ratings = folder.require("ml-100k/u.data", "u.data")
    movies = folder.require("ml-100k/u.item", "u.item")
    users = folder.find("ml-100k/u.user", "u.user")
    layout = Layout(_RATING, header=False, separator="\t", encoding="latin-1")
    content = _content(folder, ratings, layout, (movies, _movies_100k(movies)))
    if users is None:
        return content
    user_layout = Layout(_USER_100K, header=False, separator="|", encoding="latin-1")
    return _with_users(content, users, field_rows(users, user_layout))


def _with_users(content: Content, path: Path, users: Iterator[Rows]) -> Content:
    from dataclasses import replace

    return replace(content, users=users, files=(*content.files, path))


def _movies_100k(path: Path) -> Iterator[Rows]:
    layout = Layout(_MOVIE_100K, header=False, separator="|", encoding="latin-1")
    for rows in field_rows(path, layout):
        marks = [pl.when(pl.col(genre) == "1").then(pl.lit(genre)) for genre in _GENRES_100K]
        genres = pl.concat_str(marks, separator="|", ignore_nulls=True).alias("genres")
        frame = rows.frame.select("item_id", "title", genres, "release_date", "imdb_url")
        yield Rows(frame, rows.path, rows.first)


def _read_1m(folder: SourceFolder, _options: SourceOptions) -> Content:
    ratings = folder.require("ml-1m/ratings.dat", "ratings.dat")
    movies = folder.require("ml-1m/movies.dat", "movies.dat")
    users = folder.find("ml-1m/users.dat", "users.dat")
    separated = partial(Layout, header=False, separator="::", encoding="latin-1")
    content = _content(folder, ratings, separated(_RATING), (movies, field_rows(movies, separated(_MOVIE))))
    if users is None:
        return content
    return _with_users(content, users, _users_1m(users, separated(_USER_1M)))


def _users_1m(path: Path, layout: Layout) -> Iterator[Rows]:
    """Users with the names of their occupations; ages are the lowest of their group."""
    for rows in field_rows(path, layout):
        codes = {str(code): name for code, name in enumerate(_OCCUPATIONS_1M)}
        yield Rows(rows.frame.with_columns(pl.col("occupation").replace(codes)), rows.path, rows.first)


def _read_10m(folder: SourceFolder, _options: SourceOptions) -> Content:
    ratings = folder.require("ml-10M100K/ratings.dat", "ratings.dat")
    movies = folder.require("ml-10M100K/movies.dat", "movies.dat")
    separated = partial(Layout, header=False, separator="::")
    return _content(folder, ratings, separated(_RATING), (movies, field_rows(movies, separated(_MOVIE))))


def _read_csv(name: str) -> Callable[[SourceFolder, SourceOptions], Content]:
    rating_layout = Layout(("userId", "movieId", "rating", "timestamp"), header=True)
    movie_layout = Layout(("movieId", "title", "genres"), header=True, quoted=True)

    def read(folder: SourceFolder, _options: SourceOptions) -> Content:
        ratings = folder.require(f"{name}/ratings.csv", "ratings.csv")
        movies = folder.require(f"{name}/movies.csv", "movies.csv")
        rows = (
            Rows(each.frame.rename({"movieId": "item_id"}), each.path, each.first)
            for each in table_rows(movies, movie_layout)
        )
        return _content(folder, ratings, rating_layout, (movies, rows))

    return read


def _source(
    size: str,
    read: Callable[[SourceFolder, SourceOptions], Content],
    bytes_: int | None,
    checksum: str | None,
) -> Source:
    download = Download(f"{_BASE}/ml-{size}.zip", bytes_, checksum)
    return Source(
        name=f"ml-{size}",
        title=f"MovieLens {size}",
        licence="Research only; not to be redistributed or used commercially without permission; to be cited.",
        page="https://grouplens.org/datasets/movielens/",
        read=read,
        measure="rating",
        downloads=lambda _part: (download,),
    )


SOURCES = (
    _source("100k", _read_100k, 4_924_029, "md5:0e33842e24a9c977be4e0107933c0723"),
    _source("1m", _read_1m, 5_917_549, "md5:c4d9eecfca2ab87c1945afe126590906"),
    _source("10m", _read_10m, None, "md5:ce571fd55effeba0271552578f2648bd"),
    _source("20m", _read_csv("ml-20m"), 198_702_078, "md5:cd245b17a1ae2cc31bb14903e1204af3"),
    _source("25m", _read_csv("ml-25m"), 261_978_986, "md5:6b51fb2759a8657d3bfcbfc42b592ada"),
    _source("32m", _read_csv("ml-32m"), 238_950_008, "md5:d472be332d4daa821edc399621853b57"),
    _source("latest-small", _read_csv("ml-latest-small"), None, None),
)
