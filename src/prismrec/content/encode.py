"""`prismrec features` in Python: from the contents of a folder to feature files beside them."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import get_args

from prismrec.content.contents import Contents, find_files, find_texts, read_items
from prismrec.content.encoder import Encoder
from prismrec.content.modality import Encoded, EncodeOptions, ReportModality, encode_modality
from prismrec.content.output import FileFormat
from prismrec.content.registry import DEFAULTS, make_encoder
from prismrec.data.readers.encodings import read_manifest
from prismrec.data.readers.features import feature_files
from prismrec.data.readers.raw import several
from prismrec.data.readers.tabular import Table
from prismrec.errors import InputError, ParameterError, check_type
from prismrec.ops.device import DeviceName
from prismrec.provenance import ContentKind, Encoding, FeatureManifest
from prismrec.records import Normalisation

KINDS: tuple[ContentKind, ...] = get_args(ContentKind)


def encode(
    source: Path | str,
    *,
    text: Sequence[str] = (),
    image: Sequence[str] = (),
    audio: Sequence[str] = (),
    video: Sequence[str] = (),
    encoders: Mapping[ContentKind, str | Encoder] | None = None,
    name: str | None = None,
    normalise: Normalisation = "rows",
    file_format: FileFormat = "safetensors",
    device: DeviceName = "auto",
    workers: int | None = None,
    refit: bool = False,
    item_column: str | None = None,
    progress: ReportModality | None = None,
) -> dict[str, Encoded]:
    """Encode texts, pictures and sounds of the items of a folder to files in its folder `features`.

    Contents that were encoded before come from a cache. Without columns, everything is encoded.

    Args:
        source: a folder with an item table, or a file in it.
        text: columns of the item table, joined to one text.
        image: columns with paths of pictures, or one folder with pictures named by item id.
        audio: columns with paths of sounds, or one folder with sounds named by item id.
        video: columns with paths of videos, or one folder with videos named by item id.
        encoders: the encoder of each kind of content, by name; `DEFAULTS` has the others.
        name: name of the modality, if one kind is encoded; the kind if not given.
        normalise: "rows": rows of length 1; "standardise": columns of mean 0 and variance 1; "none": as encoded.
        file_format: "safetensors" or "parquet".
        device: where neural networks run.
        workers: threads that decode; the number of cores if not given.
        refit: fit built-in encoders again, although they were fitted by an earlier call.
        item_column: the column with item ids in the item table, if it has not a usual name.
        progress: called with the name of the modality, now and then.

    Returns:
        What was done, by modality.

    Raises:
        InputError: nothing to encode, no content that can be read, or a file or parameter that cannot be used.
    """
    options = EncodeOptions(normalise, file_format, _threads(workers), refit, progress)
    folder = source_folder(source)
    given: dict[ContentKind, Sequence[str]] = {"text": text, "image": image, "audio": audio, "video": video}
    found = _find_contents(folder, read_items(folder, item_column), given, encoders)
    made = [_encoder_of(contents.kind, encoders, device) for contents in found]
    names = _names(found, name)
    return {names[i]: encode_modality(folder, names[i], found[i], made[i], options) for i in range(len(found))}


def _threads(workers: int | None) -> int:
    return os.cpu_count() or 1 if workers is None else workers


def _names(found: Sequence[Contents], name: str | None) -> list[str]:
    """The names of the modalities."""
    kinds: list[str] = [contents.kind for contents in found]
    if name is None:
        return kinds
    if len(found) > 1:
        raise ParameterError("name", repr(name), f"one kind of content, not {', '.join(kinds)}: give text or image")
    check_type("name", name, str, "a name such as 'genres'")
    if not name or not name.isprintable() or name.startswith(".") or set(name) & set("/\\\0"):
        raise ParameterError("name", repr(name), "a name such as 'genres'")
    return [name]


def _encoder_of(kind: ContentKind, encoders: Mapping[ContentKind, str | Encoder] | None, device: DeviceName) -> Encoder:
    chosen = (encoders or {}).get(kind, DEFAULTS[kind])
    needed: ContentKind = "image" if kind == "video" else kind
    encoder = make_encoder(chosen, device, needed) if isinstance(chosen, str) else chosen
    if encoder.modality != needed:
        found = f"{encoder.name!r}, which encodes {encoder.modality}"
        raise ParameterError(f"{kind}_encoder", found, f"an encoder of {needed}")
    return encoder


def source_folder(source: Path | str) -> Path:
    """The folder of a source, which may also be a file in it."""
    check_type("source", source, (str, os.PathLike), "a folder or a file")
    path = Path(source)
    return path.parent if os.path.isfile(path) else path  # noqa: PTH113  (Path.is_file raises if the name is too long)


def _find_contents(
    folder: Path,
    items: Table,
    given: Mapping[ContentKind, Sequence[str]],
    encoders: Mapping[ContentKind, str | Encoder] | None,
) -> list[Contents]:
    """The contents of the kinds for which something is given, or of all kinds."""
    check_type("encoders", encoders, (Mapping, NoneType), "a mapping from kinds of content to encoders")
    given = {kind: several(kind, names) for kind, names in given.items()}
    asked = [kind for kind in KINDS if given[kind]] or [kind for kind in KINDS if kind in (encoders or {})]
    found = []
    for kind in asked or KINDS:
        contents = find_texts(items, given[kind]) if kind == "text" else find_files(kind, items, folder, given[kind])
        if contents is not None:
            found.append(contents)
        elif asked:
            raise InputError(folder, f"no {kind} of the items", f"columns or a folder, with {kind} (--{kind})")
    if not found:
        expected = "columns with words in the item table, or files named by item id in a folder such as images/"
        raise InputError(folder, "neither texts, pictures nor sounds", expected)
    return found


def encode_like(
    folder: Path | str,
    features: Mapping[str, Encoding],
    *,
    device: DeviceName = "auto",
    workers: int | None = None,
    item_column: str | None = None,
    progress: ReportModality | None = None,
) -> dict[str, Encoded]:
    """Encode new items as other items were encoded: with the same encoders, columns and normalisation.

    Modalities whose features the folder has already are left alone, unless an earlier call of this function made them.

    Args:
        folder: new items: an item table, and pictures or sounds.
        features: how the modalities were made, such as `Run.encodings`.
        device: as in `encode`.
        workers: as in `encode`.
        item_column: as in `encode`; not used if the table lacks it.
        progress: as in `encode`.

    Raises:
        InputError: a column is missing, an encoder is not the one that made the features, or what `encode` refuses.
    """
    folder = Path(folder)
    wanted = {name: source for name, source in features.items() if _may_write(folder / "features", name, source)}
    if not wanted:
        return {}
    items = read_items(folder, item_column)
    results = {}
    for name, source in wanted.items():
        manifest = source.manifest
        contents = _contents_like(folder, items, manifest)
        encoder = _encoder_of(manifest.content, {manifest.content: manifest.encoder}, device)
        options = EncodeOptions(manifest.normalisation, "safetensors", workers or os.cpu_count() or 1, False, progress)
        results[name] = encode_modality(folder, name, contents, encoder, options, source)
    return results


def _may_write(folder: Path, name: str, like: Encoding) -> bool:
    """Whether there are no features of this name, or some that were made in the same way, perhaps of fewer items."""
    found = feature_files(folder, name)
    if not found:
        return True
    manifest = read_manifest(found[0])
    return manifest is not None and manifest.difference(like.manifest) is None


def _contents_like(folder: Path, items: Table, manifest: FeatureManifest) -> Contents:
    missing = [column for column in manifest.columns if column not in items.frame.columns]
    if missing and manifest.content == "text":
        expected = f"the columns that were encoded: {', '.join(manifest.columns)}"
        raise InputError(items.header, f"no column {missing[0]!r}", expected)
    if manifest.content == "text":
        contents = find_texts(items, manifest.columns)
    else:
        places = [manifest.folder] if manifest.folder and (folder / manifest.folder).is_dir() else []
        contents = find_files(manifest.content, items, folder, manifest.columns if not missing else places)
    if contents is None:
        raise InputError(folder, f"no {manifest.content} of the items", f"{manifest.content} for {manifest.modality}")
    return contents
