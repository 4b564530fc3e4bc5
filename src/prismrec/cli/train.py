"""`prismrec train`: fit one model on one data set and leave a run directory."""

import json
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from prismrec.cli.options import check_device_and_precision
from prismrec.cli.source import SourceOptions, with_source
from prismrec.cli.tables import print_metrics
from prismrec.errors import InputError

Model = Annotated[str, typer.Argument(help="A name from `prismrec models`.", show_default=False)]
Out = Annotated[Path, typer.Option("--out", help="A new folder for the run.", show_default=False)]


@with_source
def train(
    model: Model,
    data: SourceOptions,
    out: Out,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A hyperparameter as name=value; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, batches and noise.", min=0)] = 0,
    epochs: Annotated[int | None, typer.Option(help="Largest number of epochs; 1000 if not given.", min=1)] = None,
    patience: Annotated[int, typer.Option(help="Stop after this many validations without improvement.", min=1)] = 20,
    validate_every: Annotated[int, typer.Option(help="Epochs between validations.", min=1)] = 1,
    metric: Annotated[str, typer.Option(help="The validation metric that chooses the epoch.")] = "recall@20",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="Precision of products with features: float32 or bf16.")] = "float32",
    resume: Annotated[bool, typer.Option("--resume", help="Continue the interrupted run in --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Train a model, keep the epoch that is best on validation, and evaluate it on the test split."""
    from prismrec.cli.progress import EpochLines
    from prismrec.experiments.train import make_config
    from prismrec.experiments.train import train as train_run
    from prismrec.records import Settings

    config = make_config(model, parse_settings(set_ or []))
    check_device_and_precision(device, precision)
    given: dict[str, Any] = {} if epochs is None else {"epochs": epochs}
    settings = Settings(
        seed=seed,
        patience=patience,
        validate_every=validate_every,
        metric=metric,
        device=cast(Any, device),
        precision=cast(Any, precision),
        **given,
    )
    dataset = data.read()
    with EpochLines(settings) as lines:
        run = train_run(model, dataset, config, settings, out=out, resume=resume, report=lines.epoch)
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    if as_json:
        typer.echo(json.dumps({"run": str(out), "model": run.manifest.model, **metrics}))
        return
    typer.echo(
        f"{run.manifest.model} on {run.manifest.data}: best epoch {metrics['best_epoch']} of {metrics['epochs']}, "
        f"{metrics['seconds_per_epoch']:.2f} s per epoch; run in {out}"
    )
    for split in ("valid", "test"):
        if metrics[split]:
            print_metrics(split, metrics[split])


def parse_settings(words: list[str]) -> dict[str, str]:
    """A mapping from arguments of the form name=value.

    Raises:
        InputError: an argument has no "=", or a name is given twice.
    """
    settings: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise InputError("--set", repr(word), "name=value")
        if name in settings:
            raise InputError(f"--set {name}", "two values", "one")
        settings[name] = value
    return settings
