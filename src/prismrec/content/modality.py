"""The encoding of one modality: from its contents to the files in `features/`."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from numbers import Integral
from pathlib import Path
from typing import get_args

import numpy as np
import polars as pl

from prismrec.content.cache import Cache
from prismrec.content.contents import SEPARATOR, Contents
from prismrec.content.encoder import Encoder, FittedEncoder, MissingContentError
from prismrec.content.output import (
    FeatureFiles,
    FileFormat,
    Rows,
    read_state,
    refuse_other_files,
    write_report,
    write_rows,
    write_state,
)
from prismrec.content.pipeline import Outcome, Progress, encode_all, prepare_all
from prismrec.content.reading import values_of
from prismrec.content.registry import require_decoder
from prismrec.content.videos import VIDEO_POOLING
from prismrec.errors import InputError, ParameterError, check_choice, check_type
from prismrec.files import file_lock, make_folder, write_text
from prismrec.provenance import Encoding, FeatureManifest, State
from prismrec.records import Normalisation

_MOST_FITTED = 20_000
"""Items that an encoder is fitted on; of more, evenly spaced ones."""
_FITTED = "encoder."
"""Beginning of the names of arrays of a fitted encoder in a state; the others are those of `standardise`."""

ReportModality = Callable[[str, Progress], None]
"""Gets the name of the modality and how far its encoding is."""


@dataclass(frozen=True)
class EncodeOptions:
    """How to encode; the parameters of `encode`."""

    normalise: Normalisation = "rows"
    file_format: FileFormat = "safetensors"
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    refit: bool = False
    progress: ReportModality | None = None

    def __post_init__(self) -> None:
        check_choice("normalise", self.normalise, get_args(Normalisation))
        check_choice("file_format", self.file_format, get_args(FileFormat))
        check_type("workers", self.workers, Integral, "a number from 1 on")
        if self.workers < 1:
            raise ParameterError("workers", str(self.workers), "a number from 1 on")


@dataclass(frozen=True)
class Encoded:
    """What `encode` did for one modality.

    Attributes:
        manifest: how the features were made, and how many items have them.
        path: the feature file.
        report: the file that lists items without features, and notes on others.
        newly_encoded: number of contents that were not in the cache.
        notes: what was counted and decided, one sentence each.
    """

    manifest: FeatureManifest
    path: Path
    report: Path
    newly_encoded: int
    notes: tuple[str, ...]


def encode_modality(
    folder: Path,
    name: str,
    contents: Contents,
    encoder: Encoder,
    options: EncodeOptions,
    like: Encoding | None = None,
) -> Encoded:
    """Encode the contents of one modality and write the files.

    Args:
        folder: the source.
        name: of the modality.
        contents: what to encode.
        encoder: encodes them.
        options: the other parameters of `encode`.
        like: features to be comparable with; what their encoder learned and their normalisation are used.

    Raises:
        InputError: no content can be encoded, the encoder is not that of `like`, a file cannot be written, or another
            process writes features of this name.
    """
    require_decoder(contents.kind)
    files = FeatureFiles(folder / "features", name)
    refuse_other_files(files)
    for place in (files.folder, files.folder / ".cache", files.state.parent):
        make_folder(place)
    with file_lock(files.lock, files.rows(options.file_format)):
        return _encode_files(folder, files, contents, encoder, options, like)


def _encode_files(
    folder: Path,
    files: FeatureFiles,
    contents: Contents,
    encoder: Encoder,
    options: EncodeOptions,
    like: Encoding | None,
) -> Encoded:
    earlier = refuse_other_files(files)
    notes = list(contents.notes)
    if isinstance(encoder, FittedEncoder):
        notes += _fit(encoder, contents, files, options, like)
    if like is not None:
        _refuse_mixture(encoder, like.manifest)
    with Cache(files.folder / ".cache" / f"{_identity(encoder)}.sqlite", encoder.width) as cache:
        outcome = encode_all(contents, encoder, cache, options.workers, _report(files.name, options))
        rows = Rows(outcome.keys, len(contents.ids), cache)
        if not len(rows):
            raise _nothing_encoded(folder, contents, outcome)
        statistics = _normalise(rows, options.normalise, like)
        state = {**_fitted_state(encoder), **statistics}
        learned = write_state(files.state, state, _description(encoder, contents)) if state else ""
        present = contents.ids.filter(pl.Series(outcome.keys.counts(len(contents.ids)) > 0))
        path = files.rows(options.file_format)
        digest = write_rows(path, present, rows, encoder.width, options.file_format)
    write_report(files.report, contents, outcome, folder)
    manifest = _manifest(files.name, contents, encoder, options, outcome, digest, learned)
    write_text(files.manifest, manifest.model_dump_json(indent=2) + "\n")
    for other in {*earlier, files.state} - {path, files.state if learned else path}:
        other.unlink(missing_ok=True)
    return Encoded(manifest, path, files.report, outcome.encoded, tuple(notes))


def _report(name: str, options: EncodeOptions) -> Callable[[Progress], None] | None:
    progress = options.progress
    return None if progress is None else lambda state: progress(name, state)


def _fit(
    encoder: FittedEncoder, contents: Contents, files: FeatureFiles, options: EncodeOptions, like: Encoding | None
) -> list[str]:
    """Give an encoder the state of other features, or that of an earlier call, or fit it."""
    if like is not None:
        encoder.load(_without_prefix(like.state))
        return []
    description = _description(encoder, contents)
    earlier = None if options.refit else read_state(files.state, description)
    if earlier is not None:
        encoder.load(_without_prefix(earlier))
        return [f"{encoder.name} was fitted by an earlier call; refit=True (--refit) fits it again"]
    with_content = np.flatnonzero([bool(pieces) for pieces in contents.pieces])
    chosen = with_content[np.linspace(0, len(with_content) - 1, min(len(with_content), _MOST_FITTED)).astype(np.int64)]
    sample = replace(contents, pieces=[contents.pieces[int(item)] for item in chosen])
    prepared = prepare_all(sample, encoder, options.workers, set())
    encoder.fit(value for each in prepared if each.reason is None for value in values_of(each))
    write_state(files.state, _fitted_state(encoder), description)
    return [f"{encoder.name} was fitted on {len(chosen):,} items"]


def _description(encoder: Encoder, contents: Contents) -> str:
    """What the state of a fitted encoder depends on, apart from the items."""
    parts = [encoder.name, encoder.version, encoder.preprocessing, *contents.columns, contents.folder]
    return json.dumps(parts, ensure_ascii=False)


def _fitted_state(encoder: Encoder) -> dict[str, np.ndarray]:
    if not isinstance(encoder, FittedEncoder):
        return {}
    return {f"{_FITTED}{name}": array for name, array in encoder.state().items()}


def _without_prefix(state: State) -> State:
    return {name.removeprefix(_FITTED): array for name, array in state.items() if name.startswith(_FITTED)}


def _normalise(rows: Rows, normalise: Normalisation, like: Encoding | None) -> State:
    """Set the normalisation of the rows, and return the statistics that it needs."""
    if normalise == "rows":
        rows.divide_by_length()
    if normalise != "standardise":
        return {}
    statistics = rows.statistics() if like is None else {name: like.state[name] for name in ("shift", "scale")}
    rows.standardise(statistics)
    return statistics


def _identity(encoder: Encoder) -> str:
    """The name of the cache: rows of encoders with other weights or preprocessing are in another one."""
    parts = [encoder.weights, encoder.preprocessing, str(encoder.width), encoder.version]
    plain = "".join(letter if letter.isalnum() else "-" for letter in encoder.name)[:40]
    return f"{plain}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"


def _refuse_mixture(encoder: Encoder, manifest: FeatureManifest) -> None:
    same = (encoder.weights, encoder.preprocessing, encoder.width)
    if same != (manifest.weights, manifest.preprocessing, manifest.width):
        found = f"version {encoder.version} with other weights or preprocessing than version {manifest.version}"
        expected = f"the encoder that made {manifest.modality!r}, because features of two encoders cannot be mixed"
        raise InputError(f"encoder {encoder.name}", found, expected)


def _nothing_encoded(folder: Path, contents: Contents, outcome: Outcome) -> InputError:
    reason = str(outcome.problems[0][1]) if outcome.problems else f"no item has {contents.kind}"
    return InputError(folder, f"no {contents.kind} in {contents.place} that can be encoded ({reason})", "at least one")


def _manifest(
    name: str, contents: Contents, encoder: Encoder, options: EncodeOptions, outcome: Outcome, digest: str, learned: str
) -> FeatureManifest:
    unreadable = {piece.item for piece, reason in outcome.problems if not isinstance(reason, MissingContentError)}
    counts = outcome.keys.counts(len(contents.ids))  # [I]
    encoded = int((counts > 0).sum())
    without = sum(not counts[item] for item in unreadable)
    is_text = contents.kind == "text"
    pooling = "" if is_text else "mean of all files of an item"
    return FeatureManifest(
        modality=name,
        content=contents.kind,
        encoder=encoder.name,
        version=encoder.version,
        weights=encoder.weights,
        width=encoder.width,
        preprocessing=encoder.preprocessing,
        pooling=f"{VIDEO_POOLING}; {pooling}" if contents.kind == "video" else pooling,
        most_pieces=int(counts.max()),
        normalisation=options.normalise,
        columns=contents.columns,
        separator=SEPARATOR if is_text else "",
        folder=contents.folder,
        items=len(contents.ids),
        encoded=encoded,
        missing=len(contents.ids) - encoded - without,
        unreadable=without,
        rows=digest,
        state=learned,
        prismrec=version("prismrec"),
    )
