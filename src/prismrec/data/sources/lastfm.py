"""Last.fm of HetRec 2011 (Cantador, Brusilovsky, Kuflik): artists, play counts and tags; no times of plays."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from prismrec.data.sources.contract import Content, Download, Rows, Source, SourceFolder, SourceOptions
from prismrec.data.sources.fields import Layout, field_rows, numbers

_PLAYS = Layout(("userID", "artistID", "weight"), header=True, separator="\t")
_ARTIST = Layout(("id", "name", "url", "pictureURL"), header=True, separator="\t")
_TAG = Layout(("tagID", "tagValue"), header=True, separator="\t", encoding="latin-1")
_TAGGED = Layout(("userID", "artistID", "tagID", "day", "month", "year"), header=True, separator="\t")
_FOLDER = "hetrec2011-lastfm-2k"
_TAGS_SHOWN = 10


def _read(folder: SourceFolder, _options: SourceOptions) -> Content:
    plays = folder.require(f"{_FOLDER}/user_artists.dat", "user_artists.dat")
    artists = folder.require(f"{_FOLDER}/artists.dat", "artists.dat")
    tags = folder.find(f"{_FOLDER}/tags.dat", "tags.dat")
    tagged = folder.find(f"{_FOLDER}/user_taggedartists.dat", "user_taggedartists.dat")
    words = None if tags is None or tagged is None else (tags, tagged)
    return Content(
        interactions=_plays(plays),
        items=_artists(artists, words),
        files=(plays, artists, *(words or ())),
        notes=[f"interactions are artists played; the tags of an artist are the {_TAGS_SHOWN} most frequent ones"],
    )


def _plays(path: Path) -> Iterator[Rows]:
    for rows in field_rows(path, _PLAYS):
        value = numbers(rows, "weight", pl.Float64).alias("value")
        frame = rows.frame.select(pl.col("userID").alias("user_id"), pl.col("artistID").alias("item_id"), value)
        yield Rows(frame, rows.path, rows.first)


def _artists(path: Path, words: tuple[Path, Path] | None) -> Iterator[Rows]:
    for rows in field_rows(path, _ARTIST):
        frame = rows.frame.rename({"id": "item_id", "name": "title", "pictureURL": "image_url"})
        if words is not None:
            frame = frame.join(_tags_of_artists(*words), on="item_id", how="left", maintain_order="left")
        yield Rows(frame, rows.path, rows.first)


def _tags_of_artists(tags: Path, tagged: Path) -> pl.DataFrame:
    """The most frequent tags of each artist, in one text."""
    names = pl.concat([rows.frame for rows in field_rows(tags, _TAG)])
    given = pl.concat([rows.frame for rows in field_rows(tagged, _TAGGED)])
    counts = given.group_by("artistID", "tagID").len().join(names, on="tagID")
    ordered = counts.sort("len", "tagValue", descending=[True, False])
    texts = ordered.group_by("artistID").agg(pl.col("tagValue").head(_TAGS_SHOWN).str.join(", ").alias("tags"))
    return texts.rename({"artistID": "item_id"})


SOURCES = (
    Source(
        name="lastfm",
        title="Last.fm (HetRec 2011)",
        licence="Non-commercial use; to be cited.",
        page="https://grouplens.org/datasets/hetrec-2011/",
        read=_read,
        measure="plays",
        downloads=lambda _part: (
            Download(
                "https://files.grouplens.org/datasets/hetrec2011/hetrec2011-lastfm-2k.zip",
                checksum="md5:296d61afe4e8632b173fc2dd3be20ce2",
            ),
        ),
    ),
)
