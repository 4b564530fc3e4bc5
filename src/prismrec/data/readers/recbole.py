"""RecBole's atomic files: tables with `name:type` headers, tab separated.

`NAME.inter` holds the interactions, or `NAME.train.inter`, `NAME.valid.inter` and `NAME.test.inter` hold a split.
`NAME.item` describes items. A column of type `float_seq` holds features, in `NAME.item` or in any other `NAME.*` with
item ids.
"""

from pathlib import Path

from prismrec.data.readers.boundary import entries, exists
from prismrec.data.readers.columns import USUAL_NAMES, id_column, plain_name, require_column
from prismrec.data.readers.feature_table import sequence_column
from prismrec.data.readers.features import FeatureSource, notes_of, read_features, sources_in, unread
from prismrec.data.readers.interactions import read_interactions
from prismrec.data.readers.raw import RawData, RawFeatures, ReadOptions, SourceFiles, require_printable_name
from prismrec.data.readers.table import FEATURES_HINT, catalog_of, feature_paths, id_table
from prismrec.data.readers.tabular import Table, read_table

_FLOAT_SEQ = "float_seq"
_HINT = f"{FEATURES_HINT}, or from float_seq columns beside item ids"


def read(files: SourceFiles, options: ReadOptions) -> RawData:
    """Read the interactions, `NAME.item` if it is there, embedding files, and features in `features/`.

    Interactions may name items that `NAME.item` lacks, as in RecBole.

    Raises:
        InputError: a file that cannot be used.
    """
    folder = files.folder
    interactions = read_interactions(files, options)
    notes = list(interactions.notes)
    tables = [read_table(path, options) for path in _embedding_files(files)]
    items = _read_items(folder / f"{files.name}.item", options)
    if items is not None:
        notes += items.notes
        tables.append(items)
    sources = [source for table in tables for source in _sequences(table, options)]
    sources += sources_in(folder / "features", options, items)
    features = read_features(sources, folder, options.modalities)
    all_features = features if options.modalities is None else None
    catalog = None if items is None else catalog_of(items).drop(_sequence_names(items))
    used = {table.path for table in (*interactions.tables, *tables)} | feature_paths(folder / "features")
    return RawData(
        name=files.name,
        path=files.path,
        pairs=interactions.pairs,
        features=features,
        items=None if catalog is None else catalog["item_id"],
        catalog=catalog,
        notes=(*notes, *notes_of(features), *unread(folder, used, _HINT, all_features)),
    )


def _read_items(path: Path, options: ReadOptions) -> Table | None:
    return id_table(read_table(path, options), "item", options.columns.item) if exists(path) else None


def _embedding_files(files: SourceFiles) -> list[Path]:
    """The files `NAME.*` with features, other than `NAME.item`."""
    named = [path for path in entries(files.folder) if path.name.startswith(f"{files.name}.")]
    return [path for path in named if path.suffix not in (".inter", ".item") and _has_item_features(path)]


def _has_item_features(path: Path) -> bool:
    """Whether a file has a header with a `float_seq` column and item ids."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        header = file.readline(2**16).decode("utf-8-sig", "replace").strip().split("\t")
    fields = [field.partition(":") for field in header]
    return any(kind.strip().lower() == _FLOAT_SEQ for _, _, kind in fields) and any(
        _is_item(name) for name, _, _ in fields
    )


def _is_item(name: str) -> bool:
    return plain_name(name) in {plain_name(usual) for usual in USUAL_NAMES["item"]}


def _sequence_names(table: Table) -> list[str]:
    return [name for name in table.frame.columns if table.types.get(name) == _FLOAT_SEQ]


def _sequences(table: Table, options: ReadOptions) -> list[FeatureSource]:
    """The `float_seq` columns of a file with item ids, as modalities of the same names."""
    given = options.columns.item
    id_name = require_column(table, "item", given if given in table.frame.columns else None)

    def source(name: str) -> FeatureSource:
        require_printable_name(table.path, name)

        def read() -> RawFeatures:
            return sequence_column(table, name, id_column(table, id_name, "item"))

        return FeatureSource(name, table.path, read)

    return [source(name) for name in _sequence_names(table)]
