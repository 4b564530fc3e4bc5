"""The options that `train` and `tune` share: model, data, hyperparameters and settings of the training."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prismrec.cli.options import check_device_and_precision, complete_model, print_note
from prismrec.cli.source import DataOptions
from prismrec.errors import InputError, parse_json

if TYPE_CHECKING:
    from prismrec.cli.run_file import RunFile
    from prismrec.data import Dataset
    from prismrec.records import Settings

_PATIENCE_HELP = "Stop after this many validations without improvement; auto if not given."
_VALIDATION_USERS_HELP = "Rank items for at most this many users in a validation; auto bounds it on large data."
_PRECISION_HELP = "Precision of products with features: float32 or bf16."
_NORMALISE_HELP = "Scale of features for the model: none, rows (length 1) or standardise (columns: mean 0, variance 1)."

_CONFIG_HELP = "A .yaml or .json file with model, source, options, config, settings, init; or the config.json of a run."

DEFAULT_MODEL = "Prism"
_MODEL_HELP = f"A name from `prismrec models`; {DEFAULT_MODEL} if there is only one argument."
_SOURCE_HELP = "A folder, or the file of interactions in it; not needed if the --config file names it."

First = Annotated[
    str | None, typer.Argument(help=_MODEL_HELP, metavar="MODEL", show_default=False, autocompletion=complete_model)
]
Second = Annotated[str | None, typer.Argument(help=_SOURCE_HELP, metavar="SOURCE", show_default=False)]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="A hyperparameter as name=value, in JSON or text; may be repeated.")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of weights, batches and noise.", min=0)]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Maximum number of epochs; 1000 if not given.", min=1)]
Patience = Annotated[str | None, typer.Option("--patience", help=_PATIENCE_HELP, metavar="auto|N")]
ValidateEvery = Annotated[int, typer.Option("--validate-every", help="Epochs between validations.", min=1)]
ValidationUsers = Annotated[str, typer.Option("--validation-users", help=_VALIDATION_USERS_HELP, metavar="auto|N")]
Metric = Annotated[str, typer.Option("--metric", help="Validation metric that selects the best epoch.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Precision = Annotated[str, typer.Option("--precision", help=_PRECISION_HELP)]
Normalise = Annotated[str, typer.Option("--normalise", help=_NORMALISE_HELP)]
ConfigFile = Annotated[Path | None, typer.Option("--config", help=_CONFIG_HELP, show_default=False, metavar="FILE")]


@dataclass(frozen=True)
class Request:
    """The merged values of a command line and its config file.

    Attributes:
        model: name of the model.
        source: the data set.
        options: how to read it.
        config: hyperparameters by name.
        settings: of the training.
        file: the config file.
        path: where it is; None without one.
        is_source_given: whether the command names the data set, rather than the config file.
    """

    model: str
    source: Path
    options: DataOptions
    config: Mapping[str, object]
    settings: "Settings"
    file: "RunFile"
    path: Path | None
    is_source_given: bool

    def read(self, *, verbose: bool) -> "Dataset":
        """The data set, which knows where it comes from.

        Args:
            verbose: whether to print the notes on the data.

        Raises:
            InputError: the data cannot be used, or are not those of the run that the config file repeats.
        """
        from prismrec.cli.run_file import given_options
        from prismrec.data.readers.boundary import printable
        from prismrec.records import DataOrigin

        dataset = self.options.read(self.source)
        if verbose:
            for note in dataset.notes:
                print_note(note)
        _check_fingerprint(dataset, self.file, self.path, is_source_given=self.is_source_given)
        origin = DataOrigin(source=printable(str(self.source)), options=given_options(self.options))
        return replace(dataset, origin=origin)


def read_request(
    context: typer.Context,
    arguments: tuple[str | None, str | None],
    path: Path | None,
    words: list[str] | None,
    flags: "Settings",
    options: DataOptions,
) -> Request:
    """Join the command line with a config file: the command line wins where it gives a value.

    Args:
        context: of the command.
        arguments: the first and the second one.
        path: the config file, if there is one.
        words: hyperparameters as name=value.
        flags: settings of the command line, with their defaults.
        options: how to read the data, of the command line.

    Raises:
        InputError: no data set is named, or the file or a value cannot be used.
    """
    from prismrec.cli.run_file import RunFile, read_run_file
    from prismrec.experiments.train import make_config

    file = RunFile() if path is None else read_run_file(path, _model_given(*arguments))
    model, source = model_and_source(*arguments, file.model, file.source)
    named = given(context)
    config = {**file.config, **parse_settings(words or [])}
    make_config(model, config)
    options = replace(options, **{name: value for name, value in file.options.items() if name not in named})
    return Request(
        model, source, options, config, _merge_settings(flags, file, named), file, path, _names_source(arguments)
    )


def model_and_source(
    first: str | None, second: str | None, file_model: str | None = None, file_source: str | None = None
) -> tuple[str, Path]:
    """The model and the data set that the arguments name, else those of a config file.

    A single argument is the data set, or the model if the config file names the data set.

    Raises:
        InputError: no data set is named, or the model is named after it.
    """
    model = _model_given(first, second)
    if first is not None and second is not None and not _names_model(first) and _names_model(second):
        raise InputError("MODEL SOURCE", f"{first} {second}", f"the model first: {second} {first}")
    source = second if model is not None else first
    source = source or file_source
    if source is None:
        found = "none" if model is None else f"none after the model {model}"
        raise InputError("SOURCE", found, "a folder, or the file of interactions in it")
    return model or file_model or DEFAULT_MODEL, Path(source)


def _names_source(arguments: tuple[str | None, str | None]) -> bool:
    first, second = arguments
    return (first if _model_given(first, second) is None else second) is not None


def _model_given(first: str | None, second: str | None) -> str | None:
    """The model among the arguments: the first of two, or a single one that is the name of a model and of no file."""
    if first is None or second is not None:
        return first
    is_path = os.path.exists(first)  # noqa: PTH110  (Path.exists raises if the name is too long)
    return first if not is_path and _names_model(first) else None


def _names_model(word: str) -> bool:
    from prismrec.models import find_model

    try:
        find_model(word)
    except InputError:
        return False
    return True


def parse_settings(words: list[str]) -> dict[str, object]:
    """Hyperparameters by name, from words of the form name=value; a value that is JSON is parsed, others are texts.

    Raises:
        InputError: a word has no "=" or no name, or a name occurs twice.
    """
    settings: dict[str, object] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise InputError("--set", repr(word), "name=value")
        if name in settings:
            raise InputError(f"--set {name}", "two values", "one")
        settings[name] = parse_value(value)
    return settings


def parse_value(text: str) -> object:
    """A value that is JSON, or else the text itself."""
    try:
        return parse_json(text)
    except ValueError:
        return text


def make_settings(
    seed: int,
    epochs: int | None,
    patience: str | None,
    validate_every: int,
    validation_users: str,
    metric: str,
    device: str,
    precision: str,
    normalise: str,
) -> "Settings":
    """The settings of the training.

    `epochs` and `patience` are left out if they are None, because `train` looks whether they were set: a data set
    without validation pairs needs an explicit number of epochs, and a resumed run keeps what is not given.
    """
    from prismrec.records import Settings

    check_device_and_precision(device, precision)
    values: dict[str, Any] = {
        "seed": seed,
        "validate_every": validate_every,
        "validation_users": parse_count("--validation-users", validation_users),
        "metric": metric,
        "device": device,
        "precision": precision,
        "normalise": normalise,
    }
    if epochs is not None:
        values["epochs"] = epochs
    if patience is not None:
        values["patience"] = parse_count("--patience", patience)
    return Settings(**values)


def parse_count(option: str, text: str) -> int | str:
    """The value of an option that is a number or "auto".

    Raises:
        InputError: the text is neither "auto" nor a number.
    """
    if text == "auto":
        return text
    if not (text.isascii() and text.isdecimal() and len(text) < 19 and int(text) > 0):
        raise InputError(option, repr(text), "auto or a whole number, 1 or more")
    return int(text)


def given(context: typer.Context) -> set[str]:
    """The parameters that the command line gives a value, other than by their default."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


def _merge_settings(flags: "Settings", file: "RunFile", given: set[str]) -> "Settings":
    """The settings of the command line, where given, else those of the file, else the defaults."""
    from prismrec.records import Settings

    values = flags.model_dump(exclude_unset=True)
    overriding = {name: value for name, value in values.items() if name in given}
    return Settings.model_validate({**values, **file.settings, **overriding})


def _check_fingerprint(dataset: "Dataset", file: "RunFile", path: Path | None, *, is_source_given: bool) -> None:
    """Compare the data with those of the run whose `config.json` is repeated.

    Raises:
        InputError: the data differ, although the command names no other data set.
    """
    if file.fingerprint is None or dataset.fingerprint == file.fingerprint:
        return
    if not is_source_given:
        expected = "the data and options of that run; to train on other data, name the data set in the command"
        raise InputError(f"{path}, fingerprint", f"other data in {dataset.name}", expected)
    warnings.warn(f"{dataset.name} is not the data set of the run in {path}", stacklevel=2)
