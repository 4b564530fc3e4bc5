"""Where the features of a layout are, which of them are read, and which files are not."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prismrec.data import check
from prismrec.data.readers.boundary import entries, exists, is_folder
from prismrec.data.readers.encodings import unencoded, with_encoding
from prismrec.data.readers.feature_table import read_feature_table
from prismrec.data.readers.formats import read_npy, read_npz, read_safetensors
from prismrec.data.readers.raw import RawFeatures, ReadOptions, require_printable_name
from prismrec.data.readers.tabular import Table
from prismrec.errors import InputError

_READERS = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".parquet": read_feature_table,
    ".safetensors": read_safetensors,
}
_FEATURE_ENDINGS = (
    *_READERS, ".pt", ".pth", ".pkl", ".pickle", ".h5", ".hdf5", ".mat", ".bin", ".feather", ".arrow", ".emb"
)  # fmt: skip
_ENDINGS = (".inter", ".item", ".json", ".csv", ".tsv", *_FEATURE_ENDINGS)


@dataclass(frozen=True)
class FeatureSource:
    """One modality before it is read.

    Attributes:
        name: the modality.
        path: the file.
        read: reads it.
    """

    name: str
    path: Path
    read: Callable[[], RawFeatures]


def sources_in(folder: Path, options: ReadOptions, items: Table | None) -> list[FeatureSource]:
    """The modalities in `folder/NAME.{npy,npz,parquet,safetensors}`, each with the ids of its rows.

    Args:
        folder: usually `features`; it may be missing.
        options: the parameters of `load`.
        items: the item table with its ids in column `item_id`, if there is one.

    Raises:
        InputError: the path is a dangling link or not a folder, or it may not be read.
    """
    if not exists(folder):
        return []
    expected = "a folder with one file for each modality"
    if not is_folder(folder, expected):
        raise InputError(folder, "a file", expected)

    def source(path: Path) -> FeatureSource:
        require_printable_name(path, path.stem)
        return FeatureSource(path.stem, path, lambda: with_encoding(_READERS[path.suffix](path, options, items)))

    return [source(path) for path in entries(folder) if path.suffix in _READERS]


def feature_files(folder: Path, name: str) -> list[Path]:
    """The feature files of a modality in a folder, which may be missing."""
    found = entries(folder) if folder.is_dir() else []
    return [path for path in found if path.suffix in _READERS and path.stem == name]


def read_features(
    sources: Sequence[FeatureSource], folder: Path, wanted: Sequence[str] | None
) -> dict[str, RawFeatures]:
    """Read the wanted modalities, or all.

    Raises:
        InputError: a wanted modality is missing, one is in two files, or a file that cannot be used.
    """
    features: dict[str, RawFeatures] = {}
    for name in check.modality_names(wanted, {source.name for source in sources}, folder):
        found = [source for source in sources if source.name == name]
        check.only_one([source.path for source in found], folder, f"file for {name!r}")
        features[name] = found[0].read()
    return features


def notes_of(features: Mapping[str, RawFeatures]) -> tuple[str, ...]:
    """The notes of all modalities."""
    return tuple(note for modality in features.values() for note in modality.notes)


def unread(folder: Path, used: Collection[Path], hint: str, read: Mapping[str, RawFeatures] | None = None) -> list[str]:
    """Notes on the files in a folder that were not read, and on feature files in the folders in it.

    Args:
        folder: the folder of the source.
        used: the files that were read, or left out by the user.
        hint: where the layout reads features from.
        read: the features that were read, for notes on pictures and sounds beside them; None for no such notes.
    """
    files = _files_in(folder)
    found = [path for path in files if path not in used]
    features = [path for path in found if path.suffix.lower() in _FEATURE_ENDINGS or path.parent.name == "features"]
    others = [path for path in found if path not in features and path.parent == folder]
    notes = [f"{path.relative_to(folder)}: not read; {hint}" for path in features[:8]]
    if len(features) > 8:
        notes.append(f"{len(features) - 8} more feature files were not read")
    if others:
        notes.append(f"files not read: {check.listed(path.name for path in others)}")
    return notes if read is None else notes + unencoded(folder, files, read)


def _files_in(folder: Path) -> list[Path]:
    """The files in a folder and in the folders in it, to a depth of three; also folders that are called like files."""
    found: list[Path] = []

    def unreadable(error: OSError) -> None:
        found.append(Path(error.filename))

    for place, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        here = Path(place)
        like_files = [name for name in folders if Path(name).suffix in _ENDINGS]
        found += [here / name for name in sorted([*names, *like_files]) if not name.startswith(".")]
        is_deep = len(here.relative_to(folder).parts) >= 3
        folders[:] = [] if is_deep else sorted(n for n in folders if n not in like_files and not n.startswith("."))
    return found
