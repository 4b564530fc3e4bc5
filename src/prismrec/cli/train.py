"""`prismrec train`: train one model on one data set and write a run directory."""

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prismrec.cli.options import Quiet, Verbose, check_device_and_precision, complete_model
from prismrec.cli.source import DataOptions, SplitSeed, with_data_options
from prismrec.cli.tables import print_metrics
from prismrec.errors import InputError

if TYPE_CHECKING:
    from prismrec.cli.progress import Show
    from prismrec.cli.run_file import RunFile
    from prismrec.data import Dataset
    from prismrec.models import ModelConfig
    from prismrec.records import Settings
    from prismrec.runs import Run

_PATIENCE_HELP = "Stop after this many validations without improvement; auto if not given."
_PRECISION_HELP = "Precision of products with features: float32 or bf16."

_CONFIG_HELP = "A .yaml or .json file with model, source, options, config and settings, or the config.json of a run."

DEFAULT_MODEL = "Prism"
_MODEL_HELP = f"A name from `prismrec models`; {DEFAULT_MODEL} if there is only one argument."
_SOURCE_HELP = "A folder, or the file of interactions in it; not needed if the --config file names it."

First = Annotated[
    str | None, typer.Argument(help=_MODEL_HELP, metavar="[MODEL]", show_default=False, autocompletion=complete_model)
]
Second = Annotated[str | None, typer.Argument(help=_SOURCE_HELP, metavar="[SOURCE]", show_default=False)]
Out = Annotated[Path, typer.Option("--out", help="A new folder for the run.", show_default=False)]
Set = Annotated[list[str] | None, typer.Option("--set", help="A hyperparameter as name=value (JSON); may be repeated.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of weights, batches and noise.", min=0)]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Largest number of epochs; 1000 if not given.", min=1)]
Patience = Annotated[str | None, typer.Option("--patience", help=_PATIENCE_HELP, metavar="auto|N")]
ValidateEvery = Annotated[int, typer.Option("--validate-every", help="Epochs between validations.", min=1)]
Metric = Annotated[str, typer.Option("--metric", help="The validation metric that chooses the epoch.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Precision = Annotated[str, typer.Option("--precision", help=_PRECISION_HELP)]
ConfigFile = Annotated[Path | None, typer.Option("--config", help=_CONFIG_HELP, show_default=False, metavar="FILE")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in --out, or extend it (--epochs).")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out when the new one is complete.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@with_data_options(split_seed=SplitSeed)
def train(
    context: typer.Context,
    first: First = None,
    second: Second = None,
    *,
    out: Out,
    config_file: ConfigFile = None,
    set_: Set = None,
    seed: Seed = 0,
    epochs: Epochs = None,
    patience: Patience = None,
    validate_every: ValidateEvery = 1,
    metric: Metric = "recall@20",
    device: Device = "auto",
    precision: Precision = "float32",
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
    options: DataOptions,
) -> None:
    """Train a model, keep the epoch with the best validation score, and evaluate it on the test split."""
    from prismrec.cli.run_file import RunFile, read_run_file
    from prismrec.experiments.run_folder import check_out
    from prismrec.experiments.train import make_config

    file = RunFile() if config_file is None else read_run_file(config_file, _model_given(first, second))
    model, source = model_and_source(first, second, file.model, file.source)
    given = _given(context)
    config = make_config(model, {**file.config, **parse_settings(set_ or [])})
    flags = _settings(seed, epochs, patience, validate_every, metric, device, precision)
    settings = _merge_settings(flags, file, given)
    options = replace(options, **{name: value for name, value in file.options.items() if name not in given})
    if quiet:
        warnings.simplefilter("ignore")
    check_out(out, resume=resume, overwrite=overwrite)
    dataset = _read(source, options, verbose=verbose)
    _check_fingerprint(dataset, file, config_file, is_source_given=str(source) != file.source)
    show: Show = "nothing" if quiet else "every" if verbose else "auto"
    run = _train(model, dataset, config, settings, out, resume=resume, overwrite=overwrite, show=show)
    _report(run, out, as_json)


def _train(
    model: str,
    dataset: "Dataset",
    config: "ModelConfig",
    settings: "Settings",
    out: Path,
    *,
    resume: bool,
    overwrite: bool,
    show: "Show",
) -> "Run":
    """Train with a display of the progress; after Ctrl-C, print how to continue."""
    from prismrec.cli.interrupted import print_how_to_resume
    from prismrec.cli.progress import EpochLines
    from prismrec.experiments.train import train as train_run
    from prismrec.memory import limit_memory
    from prismrec.ops.device import pick_device

    if pick_device(settings.device).type == "cpu":
        limit_memory()
    try:
        with EpochLines(settings, show=show) as lines:
            return train_run(
                model, dataset, config, settings, out=out, resume=resume, overwrite=overwrite, callbacks=[lines]
            )
    except KeyboardInterrupt as error:
        print_how_to_resume(out)
        raise typer.Exit(130) from error


def _given(context: typer.Context) -> set[str]:
    """The parameters that the command line gives a value, other than by their default."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


def _merge_settings(flags: "Settings", file: "RunFile", given: set[str]) -> "Settings":
    """The settings of the command line, where given, else those of the file, else the defaults."""
    from prismrec.records import Settings

    values = flags.model_dump(exclude_unset=True)
    overriding = {name: value for name, value in values.items() if name in given}
    return Settings.model_validate({**values, **file.settings, **overriding})


def _read(source: Path, options: DataOptions, *, verbose: bool) -> "Dataset":
    from prismrec.cli.run_file import given_options
    from prismrec.records import DataOrigin

    dataset = options.read(source)
    if verbose:
        for note in dataset.notes:
            typer.echo(f"prismrec: note: {note}", err=True)
    return replace(dataset, origin=DataOrigin(source=str(source), options=given_options(options)))


def model_and_source(
    first: str | None, second: str | None, file_model: str | None = None, file_source: str | None = None
) -> tuple[str, Path]:
    """The model and the data set that the arguments name, else those of a config file.

    A single argument is the data set, or the model if the config file names the data set.

    Raises:
        InputError: no data set is named.
    """
    model = _model_given(first, second)
    source = second if model is not None else first
    source = source or file_source
    if source is None:
        found = "none" if model is None else f"none after the model {model}"
        raise InputError("SOURCE", found, "a folder, or the file of interactions in it")
    return model or file_model or DEFAULT_MODEL, Path(source)


def _model_given(first: str | None, second: str | None) -> str | None:
    """The model among the arguments: the first of two, or a single one that is the name of a model and of no file."""
    if first is None or second is not None:
        return first
    return first if not Path(first).exists() and _names_model(first) else None


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
        settings[name] = _parse_value(value)
    return settings


def _parse_value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _settings(
    seed: int, epochs: int | None, patience: str | None, validate_every: int, metric: str, device: str, precision: str
) -> "Settings":
    """The settings of the training.

    `epochs` and `patience` are left out if they are None, because `train` looks whether they were set: a data set
    without validation pairs needs an explicit number of epochs, and a resumed run keeps what is not given.
    """
    from prismrec.records import Settings

    check_device_and_precision(device, precision)
    values: dict[str, object] = {
        "seed": seed,
        "validate_every": validate_every,
        "metric": metric,
        "device": device,
        "precision": precision,
    }
    if epochs is not None:
        values["epochs"] = epochs
    if patience is not None:
        values["patience"] = parse_patience(patience)
    return Settings.model_validate(values)


def parse_patience(text: str) -> int | str:
    """The value of --patience.

    Raises:
        InputError: the text is neither "auto" nor a number.
    """
    if text == "auto":
        return text
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise InputError("--patience", repr(text), "auto or a whole number, 1 or more")
    return int(text)


def _check_fingerprint(dataset: "Dataset", file: "RunFile", path: Path | None, *, is_source_given: bool) -> None:
    """Compare the data with those of the run whose `config.json` is repeated.

    Raises:
        InputError: the data differ, although the command names no other data set.
    """
    if file.fingerprint is None or dataset.fingerprint == file.fingerprint:
        return
    if not is_source_given:
        raise InputError(f"{path}, fingerprint", f"other data in {dataset.name}", "the data and options of that run")
    warnings.warn(f"{dataset.name} is not the data set of the run in {path}", stacklevel=2)


def _report(run: "Run", out: Path, as_json: bool) -> None:
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    del metrics["files"]  # checksums
    if as_json:
        typer.echo(json.dumps({"run": str(out), "model": run.manifest.model, **metrics}))
        return
    typer.echo(
        f"{run.manifest.model} on {run.manifest.data}: best epoch {metrics['best_epoch']} of {metrics['epochs']}, "
        f"{metrics['seconds_per_epoch']:.2f} s per epoch; run in {out}"
    )
    if metrics["chosen"]:
        values = ", ".join(f"{name} = {value:.3g}" for name, value in metrics["chosen"].items())
        typer.echo(f"chosen by validation: {values}")
    ending = run.ending.describe(run.manifest.settings.metric)
    if ending:
        typer.echo(ending)
    for split in ("valid", "test"):
        if metrics[split]:
            print_metrics(split, metrics[split])
