"""The order of ids, and ids that look alike."""

import unicodedata
from collections.abc import Sequence

import polars as pl

from prismrec.words import count

_MISSING = r"(?i)^(null|none|nan|na|n/a|nil|<na>|#n/a|nat|\\n|undefined)$"
"""How programs write a missing value."""


def number_ids(parts: Sequence[pl.Series | None]) -> pl.Series:
    """The distinct ids of all parts in the order of their numbers.

    They are sorted as numbers if all of them are whole numbers without leading zeros, else as text.
    """
    ids = pl.concat([part.unique().rename("id") for part in parts if part is not None]).unique()
    if ids.str.contains(r"^(0|[1-9][0-9]{0,17})$").all():
        return ids.cast(pl.Int64).sort().cast(pl.String)
    return ids.sort()


def positions(ids: pl.Series, known: pl.Series) -> pl.Series:
    """The position of each id in `known`, null where it is not there."""
    return ids.cast(pl.Enum(known), strict=False).to_physical()


def notes_on_ids(ids: pl.Series, kind: str) -> list[str]:
    """Notes on ids that are probably one or none.

    They differ only in blanks, case, leading zeros, `.0`, Unicode form or invisible characters, or stand for a missing
    value.
    """
    notes = []
    padded = ids.filter(ids.str.contains(r"^\s|\s$"))
    if len(padded):
        notes.append(f"{count(len(padded), f'{kind} id')} with a space at the beginning or end, such as {padded[0]!r}")
    words = ids.filter(ids.str.contains(_MISSING))
    if len(words):
        shown = ", ".join(map(repr, words[:3]))
        notes.append(f"{kind} ids that may stand for a missing value, but are {kind}s here: {shown}")
    plain = _normal_form(ids).str.strip_chars().str.to_lowercase().str.replace(r"\s+", " ")
    plain = plain.str.replace(r"^(\d+)\.0+$", "$1").str.replace(r"^0+(\d)", "$1")
    alike = plain.is_duplicated()
    if alike.any():
        first = alike.arg_max() or 0
        same = ids.filter(plain == plain[first])
        notes.append(
            f"{int(alike.sum()):,} {kind} ids differ from another one only in blanks, case, leading zeros, '.0', "
            "Unicode form or invisible characters, "
            f"such as {same[0]!r} and {same[1]!r}; they are different {kind}s here"
        )
    return notes


def _normal_form(ids: pl.Series) -> pl.Series:
    """Ids in the Unicode form NFKC, in which accents and wide letters are written in one way only.

    Characters that nobody sees are left out: zero-width spaces, byte order marks, marks of the writing direction.
    """
    if not ids.str.contains(r"[^\x00-\x7f]").any():
        return ids
    normal = pl.Series([unicodedata.normalize("NFKC", identifier) for identifier in ids], dtype=pl.String)
    return normal.str.replace_all(r"\p{Cf}", "")
