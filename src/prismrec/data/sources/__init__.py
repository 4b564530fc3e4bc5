"""Public data sets: download them, and import them into prismrec's own layout."""

from prismrec.data.sources.contract import Content, Download, FeatureRows, Rows, Source, SourceFolder, SourceOptions
from prismrec.data.sources.fetching import fetch
from prismrec.data.sources.importing import import_source
from prismrec.data.sources.options import ImportOptions
from prismrec.data.sources.pictures import PictureCounts, fetch_pictures
from prismrec.data.sources.registry import all_sources, find_source

__all__ = [
    "Content",
    "Download",
    "FeatureRows",
    "ImportOptions",
    "PictureCounts",
    "Rows",
    "Source",
    "SourceFolder",
    "SourceOptions",
    "all_sources",
    "fetch",
    "fetch_pictures",
    "find_source",
    "import_source",
]
