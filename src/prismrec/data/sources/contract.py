"""The contract of a public data set: where its files come from, and how they are read."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import unquote, urlsplit

import polars as pl

from prismrec.data.check import listed
from prismrec.data.readers.boundary import entries, exists, is_folder, require_file
from prismrec.errors import InputError, ParameterError
from prismrec.types import FloatArray

Measure = Literal["rating", "plays", "hours"]
"""The meaning of the value of an interaction."""
TIME = pl.Datetime("ms")
"""The type of the column `timestamp`, UTC."""


@dataclass(frozen=True)
class Download:
    """A file to download.

    Attributes:
        url: http or https.
        size: bytes, where the publisher or a public copy of the file documents them.
        checksum: `md5:…` or `sha256:…`, where documented.
    """

    url: str
    size: int | None = None
    checksum: str | None = None

    @property
    def name(self) -> str:
        """The name of the file."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name


@dataclass(frozen=True, eq=False)
class Rows:
    """Some records of a file.

    Attributes:
        frame: the records. Interactions have the columns `user_id` and `item_id` (String) and optionally `value`
            (Float64: the rating, the play count or the hours) and `timestamp` (`TIME`). Items and users have `item_id`
            or `user_id` and any other columns.
        path: the file.
        first: the number of the first record, from 1.
    """

    frame: pl.DataFrame
    path: Path
    first: int = 1

    def place(self, row: int) -> str:
        """The file and the record of a row of the frame (from 0), for messages."""
        return f"{self.path}, record {self.first + row}"

    def require_ids(self, column: str) -> None:
        """Refuse ids that prismrec cannot keep.

        Raises:
            InputError: an empty id, or one with a NUL character.
        """
        ids = self.frame[column]
        bad = ids.is_null() | (ids == "") | ids.str.contains("\0", literal=True)
        if bad.any():
            row = bad.arg_max() or 0
            found = f"{column} {ids[row]!r}" if ids[row] else f"no {column}"
            raise InputError(self.place(row), found, "an id in every record, without NUL characters")


@dataclass(frozen=True, eq=False)
class FeatureRows:
    """Features of a modality, in blocks of ids and float32 values `[n, width]`."""

    width: int
    blocks: Iterator[tuple[list[str], FloatArray]]


@dataclass(frozen=True, eq=False)
class Content:
    """What a source contains. Everything is read while it is iterated over, interactions first.

    Attributes:
        interactions: one row per rating, purchase, click or other event; pairs may repeat.
        items: the item table; items may repeat, the first row counts.
        users: the user table, likewise.
        features: features by modality.
        pictures: the path of each item's picture, by item id.
        files: the files that are read.
        notes: what the reader decided. It may grow while rows are read.
    """

    interactions: Iterator[Rows]
    items: Iterator[Rows] | None = None
    users: Iterator[Rows] | None = None
    features: Mapping[str, FeatureRows] = field(default_factory=dict)
    pictures: Callable[[str], Path | None] | None = None
    files: tuple[Path, ...] = ()
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SourceOptions:
    """The parameters of a reader besides the folder.

    Attributes:
        part: the part of the source, such as a category; None if the source has no parts.
        history: also the clicks before the log begins (MIND).
    """

    part: str | None = None
    history: bool = False


def no_downloads(_part: str | None) -> tuple[Download, ...]:
    """The downloads of a source whose files a person must get."""
    return ()


def no_read(_folder: "SourceFolder", _options: SourceOptions) -> Content:
    """The reader of a source whose layout `prismrec.load` reads."""
    raise NotImplementedError


@dataclass(frozen=True)
class Source:
    """A public data set.

    Attributes:
        name: for the command line.
        title: for people.
        licence: who may use it for what, in a sentence.
        page: where the publisher describes it.
        read: from a folder of files to its content.
        measure: the meaning of the value of an interaction; None if interactions have no value.
        parts: categories, genres or sizes, each a data set of its own; empty if the source is one data set.
        downloads: the files of a part; empty if a person must get them, for example because of a login.
        by_hand: what to get and where, if `downloads` is empty.
        layout: the layout of `prismrec.load` that its files have, in place of `read`.
        has_history: whether it has clicks before the log begins.
    """

    name: str
    title: str
    licence: str
    page: str
    read: Callable[["SourceFolder", SourceOptions], Content] = no_read
    measure: Measure | None = None
    parts: tuple[str, ...] = ()
    downloads: Callable[[str | None], tuple[Download, ...]] = no_downloads
    by_hand: str = ""
    layout: Literal["mmrec", "recbole", "lattice"] | None = None
    has_history: bool = False

    def check_part(self, part: str | None) -> str:
        """Check the name of a part, and return the full name, such as `amazon-2014:Baby`.

        Raises:
            ParameterError: no such part.
        """
        if part is not None and part not in self.parts:
            from difflib import get_close_matches

            close = get_close_matches(part.lower(), [each.lower() for each in self.parts], n=3, cutoff=0.5)
            near = [each for each in self.parts if each.lower() in close]
            if not self.parts:
                raise ParameterError("source", repr(f"{self.name}:{part}"), f"{self.name}, which has no parts")
            choice = f"one of: {', '.join(near or self.parts)}"
            raise ParameterError("source", f"no part {part!r} of {self.name}", choice)
        return self.name if part is None else f"{self.name}:{part}"


def gzip_or_plain(*names: str) -> tuple[str, ...]:
    """The names of files that may be packed by gzip: each as NAME.gz, then as NAME."""
    return tuple([f"{name}{packed}" for name in names for packed in (".gz", "")])


@dataclass(frozen=True)
class SourceFolder:
    """The folder with the files of a source."""

    path: Path
    source: Source

    def find(self, *names: str) -> Path | None:
        """The first of several paths that exists in the folder.

        Raises:
            InputError: it is not a file.
        """
        for name in names:
            path = self.path / name
            if exists(path):
                require_file(path)
                return path
        return None

    def require(self, *names: str) -> Path:
        """The first of several paths that exists in the folder.

        Raises:
            InputError: none of them is there; the message says where to get it.
        """
        found = self.find(*names)
        if found is None:
            raise self.missing(names[0])
        return found

    def missing(self, name: str) -> InputError:
        """The error for a file that is not there."""
        if self.source.by_hand:
            return InputError(self.path, f"no file {name}", self.source.by_hand)
        fetch = f"prismrec data fetch {self.source.name} downloads it"
        return InputError(self.path, f"no file {name}", f"the files of {self.source.page}; {fetch}")

    def choose_part(self, part: str | None, names: Callable[[str], tuple[str, ...]]) -> str:
        """The part whose files are in the folder.

        Args:
            part: the part that was asked for; None takes the only one there.
            names: the paths of which a part has at least one.

        Raises:
            InputError: the files of no part, or of several.
        """
        is_folder(self.path, f"a folder with the files of {self.source.title}")
        there = {path.name for path in entries(self.path)}
        candidates = self.source.parts if part is None else (part,)
        found = [each for each in candidates if there.intersection(names(each))]
        if not found:
            raise self.missing(names(part or "CATEGORY")[0])
        if len(found) > 1:
            choice = f"one of them, for example {self.source.name}:{found[0]}"
            raise InputError(self.path, f"files of {len(found)} parts: {listed(found)}", choice)
        return found[0]

    def pictures(self, *folders: str) -> Callable[[str], Path | None] | None:
        """The pictures ITEM_ID.jpg (.jpeg, .png, .webp) in the first of several folders that exists."""
        for name in folders:
            folder = self.path / name
            if folder.is_dir():
                by_id = {path.stem: path for path in entries(folder) if path.suffix.lower() in _PICTURES}
                return by_id.get
        return None


_PICTURES = (".jpg", ".jpeg", ".png", ".webp")
