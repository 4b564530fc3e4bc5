"""Files that describe a training: `--config run.yaml`, or the `config.json` of a run."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from prismrec.cli.source import DataOptions
from prismrec.errors import InputError, ParameterError
from prismrec.experiments.config_file import read_config_file
from prismrec.experiments.train import make_config
from prismrec.experiments.warm_start import Source, find_source
from prismrec.models import find_model
from prismrec.parameters import StrictNumbers, wanted
from prismrec.records import Settings
from prismrec.runs import InitialWeights, Manifest, Run, parse_manifest

_CLOSED = ConfigDict(extra="forbid", allow_inf_nan=False)
_KEYS = {each.name: "format" if each.name == "layout" else each.name for each in fields(DataOptions)}
"""The key of each field of `DataOptions`: the name of its option, with underscores."""


class _ClosedOptions(StrictNumbers):
    model_config = _CLOSED


_Options = create_model(
    "_Options",
    __base__=_ClosedOptions,
    **{_KEYS[each.name]: (each.type, each.default) for each in fields(DataOptions)},  # type: ignore[call-overload]
)


class _Keys(BaseModel):
    """The keys of a config file."""

    model_config = _CLOSED

    model: str | None = None
    source: str | None = None
    options: _Options = Field(default_factory=_Options)
    config: dict[str, Any] = {}
    settings: Settings = Settings()
    init: str | None = None


@dataclass(frozen=True)
class RunFile:
    """What a config file says; None or empty if it says nothing.

    Attributes:
        model: name of the model.
        source: the data set.
        options: fields of `DataOptions` by name.
        config: hyperparameters by name.
        settings: fields of `Settings` by name.
        fingerprint: of the data of the run that wrote the file.
        init: the run whose weights to start from.
        started_from: the run whose weights the run that wrote the file started from.
    """

    model: str | None = None
    source: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str | None = None
    init: str | None = None
    started_from: InitialWeights | None = None


def read_run_file(path: Path, model: str | None = None) -> RunFile:
    """Read a config file and check all that it says.

    Args:
        path: a .yaml, .yml or .json file, or the `config.json` of a run.
        model: the model that takes the hyperparameters, if it is not the one in the file.

    Raises:
        InputError: the file cannot be read, or a key or a value in it is unknown.
    """
    content = read_config_file(path, "keys and values: model, source, options, config, settings, init")
    if "fingerprint" in content:
        return _from_manifest(path, content, model)
    try:
        keys = _Keys.model_validate(content)
    except ValidationError as error:
        raise _describe(path, error) from error
    _check_config(path, model or keys.model, keys.config)
    options = keys.options.model_dump(exclude_unset=True)
    return RunFile(
        model=keys.model,
        source=keys.source,
        options={name: options[key] for name, key in _KEYS.items() if key in options},
        config=keys.config,
        settings=keys.settings.model_dump(exclude_unset=True),
        init=keys.init,
    )


def find_initial_run(init: Path | None, file: RunFile, model: str) -> Run | None:
    """The run whose weights to start from: that of the command line, or else that of the config file.

    Raises:
        InputError: it is not a run of this model, or not the one that the config file records.
    """
    kind = find_model(model)
    folder = init or file.init
    if folder is not None:
        return Source.of(folder, kind).run
    return None if file.started_from is None else find_source(file.started_from, kind).run


def like_run(manifest: Manifest, options: DataOptions | None = None, given: Collection[str] = ()) -> DataOptions:
    """How the data set of a run was read, with the values of `options` for the fields in `given`."""
    of_run = {name: value for name, value in _read_with(manifest).items() if name not in given}
    return replace(options or DataOptions(), **of_run)


def _read_with(manifest: Manifest) -> dict[str, Any]:
    """The fields of `DataOptions` that were not at their defaults when the data set of a run was read."""
    options = {} if manifest.origin is None else manifest.origin.options
    return {name: options[key] for name, key in _KEYS.items() if key in options}


def given_options(options: DataOptions) -> dict[str, Any]:
    """The options of a data set that differ from their defaults, as a config file contains them."""
    values = {each.name: getattr(options, each.name) for each in fields(options)}
    defaults = {each.name: each.default for each in fields(options)}
    return {_KEYS[name]: value for name, value in values.items() if value not in (defaults[name], [])}


def _check_config(path: Path, model: str | None, config: Mapping[str, Any]) -> None:
    if not config:
        return
    if model is None:
        raise InputError(f"{path}, config", "hyperparameters without a model", "a model in the file or the command")
    try:
        make_config(model, config)
    except ParameterError as error:
        raise InputError(f"{path}, {error.parameter}", error.found, error.expected) from error


def _from_manifest(path: Path, content: Mapping[str, Any], model: str | None) -> RunFile:
    try:
        manifest, _ = parse_manifest(json.dumps(content))
    except ValueError as error:
        raise InputError(path, str(error), "the config.json of a run") from error
    if manifest.custom is not None:
        found = f"a run with parts of its own: {manifest.custom.model_dump(exclude_defaults=True)}"
        raise InputError(path, found, "a run that the command line trained; repeat this one in Python")
    _check_config(path, model or manifest.model, manifest.config)
    origin = manifest.origin
    return RunFile(
        model=manifest.model,
        source=None if origin is None else origin.source,
        options=_read_with(manifest),
        config=manifest.config,
        settings=manifest.settings.model_dump(),
        fingerprint=manifest.fingerprint,
        started_from=manifest.init,
    )


def _describe(path: Path, error: ValidationError) -> InputError:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        return InputError(f"{path}, {place}", repr(first["input"]), wanted(first))
    section = first["loc"][0] if len(first["loc"]) > 1 else ""
    known = {"options": list(_KEYS.values()), "settings": list(Settings.model_fields)}.get(
        str(section), list(_Keys.model_fields)
    )
    return InputError(f"{path}, {place}", "no such key", f"one of {', '.join(known)}")
