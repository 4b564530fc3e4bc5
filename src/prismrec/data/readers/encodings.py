"""What `prismrec features` writes beside feature files: how they were made."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from prismrec.data.readers.boundary import LARGEST_RECORD, exists, foreign_errors, require_file
from prismrec.data.readers.raw import RawFeatures
from prismrec.errors import InputError
from prismrec.provenance import ENDINGS, ContentKind, Encoding, FeatureManifest, State, hash_rows
from prismrec.types import FloatArray

_MANIFEST = "a manifest as `prismrec features` writes it; delete it if the features are from elsewhere"
_NAMES: dict[ContentKind, str] = {"image": "pictures", "audio": "sounds", "video": "videos"}


def manifest_path(features: Path) -> Path:
    """The manifest beside a feature file."""
    return features.with_suffix(".manifest.json")


def state_path(features: Path) -> Path:
    """The file with what a fitted encoder has learned."""
    return features.parent / "encoders" / f"{features.stem}.safetensors"


def paths_beside(features: Path) -> set[Path]:
    """The files that `prismrec features` may have written beside a feature file."""
    return {manifest_path(features), features.with_suffix(".report.csv"), state_path(features)}


def read_manifest(features: Path) -> FeatureManifest | None:
    """The manifest beside a feature file, which may describe other features; None if there is none.

    Raises:
        InputError: the manifest cannot be read.
    """
    path = manifest_path(features)
    if not exists(path):
        return None
    require_file(path)
    with foreign_errors(path, _MANIFEST):
        if path.stat().st_size > LARGEST_RECORD:
            raise InputError(path, f"{path.stat().st_size:,} bytes", _MANIFEST)
        return FeatureManifest.model_validate_json(path.read_text(encoding="utf-8"))


def with_encoding(features: RawFeatures) -> RawFeatures:
    """The features with how they were made, if a manifest beside them says it. A note tells of a stale manifest.

    Raises:
        InputError: the manifest or the state of the encoder cannot be read.
    """
    manifest = read_manifest(features.path)
    if manifest is None:
        return features
    state = _read_state(state_path(features.path), manifest) if manifest.state else {}
    if state is None or manifest.rows != hash_rows(features.values):
        note = f"{manifest_path(features.path).name} describes other features than {features.path.name} and was ignored"
        return replace(features, notes=(*features.notes, note))
    return replace(features, encoding=Encoding(manifest, state))


def _read_state(path: Path, manifest: FeatureManifest) -> State | None:
    """What a fitted encoder has learned; None if it is not that of the manifest."""
    if not exists(path):
        return None
    require_file(path)
    with foreign_errors(path, "a safetensors file"), path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != manifest.state:
            return None
        file.seek(0)
        return load(file.read())


def write_encoding(features: Path, encoding: Encoding, values: FloatArray) -> None:
    """Write beside a feature file how its rows `[n, F]` were made.

    Raises:
        OSError: a file cannot be written.
    """
    state = ""
    if encoding.state:
        content = save({name: np.ascontiguousarray(array) for name, array in encoding.state.items()})
        state = hashlib.sha256(content).hexdigest()
        state_path(features).parent.mkdir(exist_ok=True)
        state_path(features).write_bytes(content)
    manifest = encoding.manifest.model_copy(update={"rows": hash_rows(values), "state": state})
    manifest_path(features).write_text(manifest.model_dump_json(indent=2), encoding="utf-8")


def encodings_of(features: Mapping[str, RawFeatures]) -> dict[str, Encoding]:
    """How `prismrec features` made each modality; modalities of other origin are absent."""
    return {name: each.encoding for name, each in features.items() if each.encoding is not None}


def unencoded(folder: Path, files: Iterable[Path], features: Mapping[str, RawFeatures]) -> list[str]:
    """Notes on folders with pictures or sounds that no features were made of, as far as manifests say.

    Args:
        folder: of the source.
        files: the files in it and in its folders.
        features: what was read. Features without a manifest may be of anything, so there is no note beside them.
    """
    encodings = [each.encoding for each in features.values()]
    if None in encodings:
        return []
    encoded = {encoding.manifest.content for encoding in encodings if encoding is not None}
    notes = []
    for kind, name in _NAMES.items():
        if kind in encoded:
            continue
        for place, count in _count_in_folders(folder, files, ENDINGS[kind]).items():
            notes.append(
                f"{place}/: {count:,} {name} were not read; `prismrec features {folder}` makes features of them"
            )
    return notes


def _count_in_folders(folder: Path, files: Iterable[Path], endings: Collection[str]) -> Counter[str]:
    places: Counter[str] = Counter()
    for path in files:
        parts = path.relative_to(folder).parts
        if len(parts) > 1 and path.suffix.lower() in endings:
            places[parts[0]] += 1
    return places
