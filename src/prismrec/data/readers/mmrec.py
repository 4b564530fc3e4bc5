"""The MMRec layout: `NAME.inter` with row numbers for ids, and `MODALITY_feat.npy` beside it."""

from prismrec.data.import_record import FILE as IMPORT_FILE
from prismrec.data.import_record import read_import
from prismrec.data.readers.features import unread
from prismrec.data.readers.interactions import read_interactions
from prismrec.data.readers.numbered import FEATURES_HINT, feature_paths, with_features
from prismrec.data.readers.raw import RawData, ReadOptions, SourceFiles

_MAPPINGS = ("u_id_mapping.csv", "i_id_mapping.csv")


def read(files: SourceFiles, options: ReadOptions) -> RawData:
    """Read `NAME.inter` (tab separated; userID, itemID, x_label) and the features in its folder.

    Raises:
        InputError: a file that cannot be used.
    """
    folder = files.folder
    interactions = read_interactions(files, options, numbered=True)
    paths = feature_paths(folder)
    used = {path for _, path in files.parts} | set(paths) | {folder / name for name in _MAPPINGS}
    imported = read_import(folder)
    described = [] if imported is None else imported.describe()
    used |= set() if imported is None else {folder / IMPORT_FILE}
    notes = (*described, *interactions.notes, *unread(folder, used, FEATURES_HINT))
    raw = RawData(name=files.name, path=files.path, pairs=interactions.pairs, notes=notes, imported=imported)
    return with_features(raw, folder, paths, interactions.place, options)
