"""One reader for each layout on disk, and the choice between them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from prismrec.data.readers import lattice, mmrec, recbole, table
from prismrec.data.readers.boundary import LIBRARY_ERRORS, foreign_errors
from prismrec.data.readers.raw import RawData, ReadOptions, SourceFiles
from prismrec.data.readers.recognise import recognise
from prismrec.errors import check_choice

Reader = Callable[[SourceFiles, ReadOptions], RawData]
READERS: Mapping[str, Reader] = MappingProxyType(
    {"table": table.read, "mmrec": mmrec.read, "recbole": recbole.read, "lattice": lattice.read}
)


def read_source(source: Path, layout: str | None, options: ReadOptions) -> RawData:
    """Read a folder, or the file of interactions in it, in the layout that is named or recognised.

    Raises:
        InputError: nothing to read, several candidates, or a file that cannot be used.
        ParameterError: an unknown layout, or a column to ignore that no table has.
    """
    if layout is not None:
        check_choice("format", layout, tuple(READERS))
    with foreign_errors(source, "a source that can be read", LIBRARY_ERRORS):
        chosen, files = recognise(source, layout)
        raw = READERS[chosen](files, options)
    options.require_ignored(source)
    return raw
