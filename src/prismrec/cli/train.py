"""`prismrec train`: train one model on one data set and write a run directory."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prismrec.cli.options import AsJson, Quiet, Verbose
from prismrec.cli.source import DataOptions, SplitSeed, with_data_options
from prismrec.cli.tables import print_metrics
from prismrec.cli.training import (
    ConfigFile,
    Device,
    Epochs,
    First,
    Metric,
    Normalise,
    Patience,
    Precision,
    Second,
    Seed,
    Set,
    ValidateEvery,
    ValidationUsers,
    make_settings,
    read_request,
)
from prismrec.errors import parse_json
from prismrec.words import seconds_text

if TYPE_CHECKING:
    from prismrec.cli.progress import Show
    from prismrec.data import Dataset
    from prismrec.models import ModelConfig
    from prismrec.records import Settings
    from prismrec.runs import Run

_INIT_HELP = "Start from the weights of this run of the same model."

Out = Annotated[Path, typer.Option("--out", help="A new folder for the run.", show_default=False)]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue the run in --out, or extend it with a larger --epochs.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out when the new one is complete.")]
Init = Annotated[Path | None, typer.Option("--init", help=_INIT_HELP, show_default=False, metavar="RUN")]


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
    validation_users: ValidationUsers = "auto",
    metric: Metric = "recall@20",
    device: Device = "auto",
    precision: Precision = "float32",
    normalise: Normalise = "none",
    resume: Resume = False,
    overwrite: Overwrite = False,
    init: Init = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
    options: DataOptions,
) -> None:
    """Train a model, keep the epoch with the best validation score, and evaluate it on the test split."""
    from prismrec.cli.run_file import find_initial_run
    from prismrec.experiments.run_folder import check_out
    from prismrec.experiments.train import make_config

    flags = make_settings(
        seed, epochs, patience, validate_every, validation_users, metric, device, precision, normalise
    )
    request = read_request(context, (first, second), config_file, set_, flags, options)
    config = make_config(request.model, request.config)
    check_out(out, resume=resume, overwrite=overwrite)
    start = find_initial_run(init, request.file, request.model)
    dataset = request.read(verbose=verbose)
    show: Show = "nothing" if quiet else "every" if verbose else "auto"
    model, settings = request.model, request.settings
    run = _train(model, dataset, config, settings, out, resume=resume, overwrite=overwrite, init=start, show=show)
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
    init: "Run | None",
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
                model,
                dataset,
                config,
                settings,
                out=out,
                resume=resume,
                overwrite=overwrite,
                init=init,
                callbacks=[lines],
            )
    except KeyboardInterrupt as error:
        print_how_to_resume(out)
        raise typer.Exit(130) from error


def _report(run: "Run", out: Path, as_json: bool) -> None:
    metrics = parse_json((out / "metrics.json").read_text(encoding="utf-8"))
    for checksums in ("files", "checkpoint"):
        metrics.pop(checksums, None)
    if as_json:
        init = run.manifest.init
        started = {} if init is None else {"init": init.model_dump()}
        typer.echo(json.dumps({"run": str(out), "model": run.manifest.model, **started, **metrics}))
        return
    typer.echo(
        f"{run.manifest.model} on {run.manifest.data}: best epoch {metrics['best_epoch']} of {metrics['epochs']}, "
        f"{seconds_text(metrics['seconds_per_epoch'])} s per epoch; run in {out}"
    )
    if run.manifest.init is not None:
        typer.echo(f"started from {run.manifest.init.describe()}")
    if metrics["chosen"]:
        values = ", ".join(f"{name} = {value:.3g}" for name, value in metrics["chosen"].items())
        typer.echo(f"chosen by validation: {values}")
    ending = run.ending.describe(run.manifest.settings.metric)
    if ending:
        typer.echo(ending)
    for split in ("valid", "test"):
        if metrics[split]:
            print_metrics(split, metrics[split])
