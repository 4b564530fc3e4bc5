"""The public data sets that prismrec can import, by name."""

from difflib import get_close_matches

from prismrec.data.sources import (
    amazon_2014,
    amazon_2018,
    amazon_2023,
    goodreads,
    hm,
    lastfm,
    microlens,
    mind,
    movielens,
    releases,
    steam,
    yelp,
)
from prismrec.data.sources.contract import Source
from prismrec.errors import ParameterError

_MODULES = (
    amazon_2014,
    amazon_2018,
    amazon_2023,
    goodreads,
    hm,
    lastfm,
    microlens,
    mind,
    movielens,
    steam,
    yelp,
    releases,
)
_SOURCES = {source.name: source for module in _MODULES for source in module.SOURCES}


def all_sources() -> tuple[Source, ...]:
    """All sources, in the order of the documentation."""
    return tuple(_SOURCES.values())


def find_source(name: str) -> tuple[Source, str | None]:
    """The source and the part of a name such as `ml-1m` or `amazon-2014:Baby`.

    Raises:
        ParameterError: no such source or part.
    """
    known, separator, part = name.partition(":")
    source = _SOURCES.get(known)
    if source is None:
        close = get_close_matches(known.lower(), _SOURCES, n=3, cutoff=0.5)
        suggestion = f"one of: {', '.join(close or _SOURCES)}"
        raise ParameterError("source", f"no source {known!r}", f"{suggestion} (prismrec data sources lists all)")
    chosen = part if separator else None
    source.check_part(chosen)
    return source, chosen
