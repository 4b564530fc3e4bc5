"""`prismrec tune`: choose hyperparameters on the validation split."""

import json
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prismrec.cli.options import AsJson, EngineName, Quiet, Verbose, parse_engine
from prismrec.cli.source import DataOptions, SplitSeed, with_data_options
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
    parse_value,
    read_request,
)
from prismrec.errors import InputError
from prismrec.words import count, duration, seconds_text

if TYPE_CHECKING:
    from prismrec.experiments.estimate import Estimate
    from prismrec.experiments.search import Search
    from prismrec.experiments.tune import TuneResult

_OUT_HELP = "A new folder for the search, or the folder of the same search to continue it."
_SPACE_HELP = "What to search: name=a,b,c, name=LOW..HIGH, name=LOW..HIGH:log, or a file; may be repeated."
_TRIALS_HELP = "Maximum number of trials; 50 if not given. A smaller space is tried completely."
_LIMIT_HELP = "Stop after this time, such as 90s, 30m or 2h. Repeat the command to continue."
_WORKERS_HELP = "Trials at the same time; 1 if not given, or with Ray one per core."
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

Out = Annotated[Path, typer.Option("--out", help=_OUT_HELP, show_default=False)]
SpaceWords = Annotated[list[str] | None, typer.Option("--space", help=_SPACE_HELP, show_default=False)]
Trials = Annotated[int | None, typer.Option("--trials", help=_TRIALS_HELP, min=1)]
TimeLimit = Annotated[str | None, typer.Option("--time-limit", help=_LIMIT_HELP)]
Workers = Annotated[int | None, typer.Option("--workers", help=_WORKERS_HELP, min=1)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Estimate time and memory, and end.")]


@with_data_options(split_seed=SplitSeed)
def tune(
    context: typer.Context,
    first: First = None,
    second: Second = None,
    *,
    out: Out,
    space: SpaceWords = None,
    trials: Trials = None,
    time_limit: TimeLimit = None,
    workers: Workers = None,
    engine: EngineName = "local",
    dry_run: DryRun = False,
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
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
    options: DataOptions,
) -> None:
    """Choose the hyperparameters of a model on the validation split; the test split is not used."""
    from prismrec.experiments.space import Space
    from prismrec.experiments.trial import JOURNAL
    from prismrec.experiments.tune import check_engine, check_tune_folder, make_search

    check_engine(parse_engine(engine))
    limit = None if time_limit is None else parse_duration(time_limit)
    flags = make_settings(
        seed, epochs, patience, validate_every, validation_users, metric, device, precision, normalise
    )
    request = read_request(context, (first, second), config_file, set_, flags, options)
    if request.file.init or request.file.started_from:
        raise InputError(f"{config_file}, init", "a run to start from", "none: each trial starts from random weights")
    checked = Space.of(request.model, parse_space(space) if space else None, request.config)
    check_tune_folder(out)
    dataset = request.read(verbose=verbose)
    search = make_search(request.model, dataset, checked, out, request.config, request.settings, trials, limit)
    if dry_run or not (out / JOURNAL).exists():
        _estimate(search, workers or 1, limit, quiet=quiet and not dry_run)
    if not dry_run:
        _report(search, _run(search, workers, engine, quiet=quiet), as_json=as_json)


def parse_space(words: list[str]) -> dict[str, object]:
    """The space that the values of --space describe, as `Space.of` takes it.

    Raises:
        InputError: a word or a file cannot be used, or a hyperparameter occurs twice.
    """
    space: dict[str, object] = {}
    for word in words:
        name, equals, values = word.partition("=")
        given = {name: _parse_values(values)} if equals and name else _read_space(word)
        for each in given:
            if each in space:
                raise InputError(f"--space {each}", "two lists of values", "one")
        space |= given
    return space


def _parse_values(text: str) -> object:
    """A list or a range."""
    number = r"[-+0-9.eE]+?"
    ends = re.fullmatch(rf"({number})\.\.({number})(?::(linear|log))?", text)
    if ends is not None:
        return {"low": parse_value(ends[1]), "high": parse_value(ends[2]), "scale": ends[3] or "linear"}
    whole = parse_value(text)
    if isinstance(whole, list | dict):
        return whole
    return [parse_value(part) for part in text.split(",")] if text else []


def _read_space(word: str) -> dict[str, object]:
    from prismrec.experiments.config_file import SUFFIXES, read_config_file

    if not word.endswith(SUFFIXES):
        raise InputError("--space", repr(word), "name=a,b,c, name=LOW..HIGH, or a .yaml or .json file")
    return read_config_file(Path(word), "hyperparameters with their values")


def parse_duration(text: str) -> float:
    """The seconds of a duration such as "90", "90s", "30m" or "1.5h".

    Raises:
        InputError: the text is no duration above 0.
    """
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd]?)", text)
    seconds = 0.0 if match is None else float(match[1]) * _UNITS[match[2]]
    if seconds <= 0:
        raise InputError("--time-limit", repr(text), "a time such as 90s, 30m or 2h")
    return seconds


def _estimate(search: "Search", workers: int, limit: float | None, *, quiet: bool) -> None:
    """Estimate time and memory of the search, refuse workers that do not fit, and print the estimate."""
    from prismrec.experiments.estimate import estimate

    found = estimate(search)
    found.check_memory(workers)
    if not quiet:
        for line in describe_estimate(found, workers, limit):
            typer.echo(f"estimate: {line}", err=True)


def describe_estimate(estimate: "Estimate", workers: int, limit: float | None) -> list[str]:
    """The estimate of a search as lines of text."""
    least, most = estimate.epochs
    fastest, slowest = min(estimate.epoch_seconds), max(estimate.epoch_seconds)
    epochs = seconds_text(fastest) if slowest < 1.2 * fastest else f"{seconds_text(fastest)} to {seconds_text(slowest)}"
    lines = [f"{count(estimate.trials, 'trial')}, {epochs} s per epoch"]
    if not slowest:  # a model without weights
        lines = [f"{count(estimate.trials, 'trial')}, {estimate.start_seconds:.2f} s each"]
    for each in dict.fromkeys((least, most)) if slowest else ():
        lines.append(f"{duration(estimate.seconds(each, workers))} if each trial takes {count(each, 'epoch')}")
    if limit is not None:
        fitting = int(estimate.trials * limit / max(estimate.seconds(least, workers), 1e-9))
        if fitting < estimate.trials:
            lines.append(f"at most {fitting} of the {estimate.trials} trials fit in {duration(limit)}")
    if estimate.peak_bytes is not None and estimate.most_workers is not None:
        memory = f"{estimate.peak_bytes / 2**30:.2f} GiB of memory per worker"
        lines.append(f"{memory}, enough here for {count(estimate.most_workers, 'worker')}")
    return lines


def _run(search: "Search", workers: int | None, engine: str, *, quiet: bool) -> "TuneResult":
    """Search with a display of the progress; after Ctrl-C, print how to continue."""
    from prismrec.cli.progress import TrialLines
    from prismrec.experiments.tune import run_search
    from prismrec.memory import limit_memory
    from prismrec.ops.device import pick_device

    settings = search.runner.settings
    if pick_device(settings.device).type == "cpu":
        limit_memory()
    try:
        with TrialLines(settings, quiet=quiet) as lines:
            return run_search(search, parse_engine(engine), workers, lines.report)
    except KeyboardInterrupt as error:
        typer.echo(f"prismrec: stopped; continue: {shlex.join(['prismrec', *sys.argv[1:]])}", err=True)
        raise typer.Exit(130) from error


def _report(search: "Search", result: "TuneResult", *, as_json: bool) -> None:
    from prismrec.experiments.tune import BEST

    model, metric = search.runner.model.name, search.runner.settings.metric
    best = search.folder / BEST
    if as_json:
        facts = {
            "search": str(search.folder),
            "model": model,
            "metric": metric,
            "value": result.value,
            "epochs": result.epochs,
            "settings": dict(result.settings),
            "config": dict(result.config),
            "config_file": str(best),
            "trials": [asdict(trial) for trial in result.trials],
        }
        typer.echo(json.dumps(facts))
        return
    _print_trials(search, result)
    typer.echo(f"best: {describe_point(result.settings)}: valid {metric} {result.value:.4f} at epoch {result.epochs}")
    typer.echo(f"train it: {shlex.join(['prismrec', 'train', '--config', str(best), '--out', 'RUN'])}")


def describe_point(point: Mapping[str, object]) -> str:
    """Hyperparameters as text."""
    return ", ".join(f"{name}={_describe_value(value)}" for name, value in point.items())


def _describe_value(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _print_trials(search: "Search", result: "TuneResult") -> None:
    """All trials, the best ones first."""
    from rich.table import Table

    from prismrec.cli.tables import literal, print_table

    metric = search.runner.settings.metric
    table = Table("trial", *result.settings, f"valid {metric}", "epoch", "seconds", title_justify="left")
    for column in table.columns:
        column.justify = "right"
    failed = [trial for trial in result.trials if trial.error is not None]
    if failed:
        table.add_column("error")
    for trial in sorted(result.trials, key=lambda each: -1.0 if each.value is None else each.value, reverse=True):
        shown = [_describe_value(trial.settings[name]) for name in result.settings]
        value = trial.state if trial.value is None else f"{trial.value:.4f}"
        seconds = "" if trial.seconds is None else f"{trial.seconds:.1f}"
        row = [str(trial.number), *shown, value, "" if trial.epochs is None else str(trial.epochs), seconds]
        table.add_row(*[literal(cell) for cell in row], *([literal(trial.error or "")] if failed else []))
    print_table(table)
