"""`prismrec train`: train one model on one data set and write a run directory."""

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prismrec.cli.options import Quiet, Verbose, check_device_and_precision, complete_model
from prismrec.cli.source import DataOptions, SplitSeed, with_data_options
from prismrec.cli.tables import print_metrics
from prismrec.errors import InputError

if TYPE_CHECKING:
    from prismrec.records import Settings
    from prismrec.runs import Run

_PATIENCE_HELP = "Stop after this many validations without improvement; auto if not given."
_PRECISION_HELP = "Precision of products with features: float32 or bf16."

DEFAULT_MODEL = "Prism"
_MODEL_HELP = f"A name from `prismrec models`; {DEFAULT_MODEL} if there is only one argument."
_SOURCE_HELP = "A folder, or the file of interactions in it."

First = Annotated[
    str, typer.Argument(help=_MODEL_HELP, metavar="[MODEL]", show_default=False, autocompletion=complete_model)
]
Second = Annotated[str | None, typer.Argument(help=_SOURCE_HELP, metavar="SOURCE", show_default=False)]
Out = Annotated[Path, typer.Option("--out", help="A new folder for the run.", show_default=False)]
Set = Annotated[list[str] | None, typer.Option("--set", help="A hyperparameter as name=value (JSON); may be repeated.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of weights, batches and noise.", min=0)]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Largest number of epochs; 1000 if not given.", min=1)]
Patience = Annotated[str | None, typer.Option("--patience", help=_PATIENCE_HELP, metavar="auto|N")]
ValidateEvery = Annotated[int, typer.Option("--validate-every", help="Epochs between validations.", min=1)]
Metric = Annotated[str, typer.Option("--metric", help="The validation metric that chooses the epoch.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Precision = Annotated[str, typer.Option("--precision", help=_PRECISION_HELP)]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in --out, or extend it (--epochs).")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out when the new one is complete.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@with_data_options(split_seed=SplitSeed)
def train(
    first: First,
    second: Second = None,
    *,
    out: Out,
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
    from prismrec.cli.interrupted import print_how_to_resume
    from prismrec.cli.progress import EpochLines
    from prismrec.experiments.run_folder import check_out
    from prismrec.experiments.train import make_config
    from prismrec.experiments.train import train as train_run
    from prismrec.memory import limit_memory
    from prismrec.ops.device import pick_device

    model, source = model_and_source(first, second)
    config = make_config(model, parse_settings(set_ or []))
    settings = _settings(seed, epochs, patience, validate_every, metric, device, precision)
    if quiet:
        warnings.simplefilter("ignore")
    check_out(out, resume=resume, overwrite=overwrite)
    dataset = options.read(source)
    if verbose:
        for note in dataset.notes:
            typer.echo(f"prismrec: note: {note}", err=True)
    if pick_device(settings.device).type == "cpu":
        limit_memory()
    try:
        with EpochLines(settings, show="nothing" if quiet else "every" if verbose else "auto") as lines:
            run = train_run(
                model, dataset, config, settings, out=out, resume=resume, overwrite=overwrite, callbacks=[lines]
            )
    except KeyboardInterrupt as error:
        print_how_to_resume(out)
        raise typer.Exit(130) from error
    _report(run, out, as_json)


def model_and_source(first: str, second: str | None) -> tuple[str, Path]:
    """The model and the data set that the arguments name; a single argument is the data set.

    Raises:
        InputError: the single argument names a model and no file.
    """
    if second is not None:
        return first, Path(second)
    if not Path(first).exists() and _names_model(first):
        raise InputError("SOURCE", f"none after the model {first}", "a folder, or the file of interactions in it")
    return DEFAULT_MODEL, Path(first)


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
        values["patience"] = _parse_patience(patience)
    return Settings.model_validate(values)


def _parse_patience(text: str) -> int | str:
    if text == "auto":
        return text
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise InputError("--patience", repr(text), "auto or a whole number, 1 or more")
    return int(text)


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
