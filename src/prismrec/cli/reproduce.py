"""`prismrec reproduce`: a table or figure of a paper, computed and shown beside the published numbers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prismrec.cli.options import EngineName, check_device_and_precision, parse_engine
from prismrec.errors import InputError

if TYPE_CHECKING:
    from prismrec.experiments.tables.forecast import Forecast
    from prismrec.experiments.tables.outcome import Outcome
    from prismrec.experiments.tables.plan import Options

_NAME_HELP = "Names from --list, or .yaml files of your own."
_DATA_HELP = "A folder of data, or its name in PRISMREC_DATA; may be repeated. Default: the paper's data sets."
_QUICK_HELP = "A first look: a tiny example shop, two epochs, one seed, at most two values of each sweep."
_ONLY_HELP = "Compute only the row with this label; may be repeated."
_TRIALS_HELP = "Hyperparameters to try per model and data set, if prismrec stores none; 0 takes the defaults."
_FINISHED_HELP = "Train nothing; report what is finished."
_DRY_HELP = "Say what is finished and left, estimate time and memory from a few epochs of each model, and end."
_WORKERS_HELP = "Trainings at the same time with --engine ray; one per core or GPU if not given."
_LIST_HELP = "List all names and end."

Names = Annotated[list[str] | None, typer.Argument(help=_NAME_HELP, metavar="NAME", show_default=False)]
Data = Annotated[list[str] | None, typer.Option("--data", help=_DATA_HELP, show_default=False)]
Out = Annotated[Path, typer.Option("--out", help="Folder for the results: OUT/NAME, and OUT/cells for the trainings.")]
Quick = Annotated[bool, typer.Option("--quick", help=_QUICK_HELP)]
Models = Annotated[list[str] | None, typer.Option("--models", help="Only rows of this model; may be repeated.")]
Only = Annotated[list[str] | None, typer.Option("--only", help=_ONLY_HELP)]
_SEEDS_HELP = "Number of seeds; that of the table if not given."
Seeds = Annotated[int | None, typer.Option("--seeds", help=_SEEDS_HELP, min=1, max=1000)]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Maximum number of epochs; 1000 if not given.", min=1)]
Patience = Annotated[str | None, typer.Option("--patience", help="As in `prismrec train`.", metavar="auto|N")]
Trials = Annotated[int, typer.Option("--trials", help=_TRIALS_HELP, min=0)]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Finished = Annotated[bool, typer.Option("--finished", help=_FINISHED_HELP)]
DryRun = Annotated[bool, typer.Option("--dry-run", help=_DRY_HELP)]
Workers = Annotated[int | None, typer.Option("--workers", help=_WORKERS_HELP, min=1)]
List = Annotated[bool, typer.Option("--list", help=_LIST_HELP)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the results, or the list, as JSON and nothing else.")]


def reproduce(
    names: Names = None,
    data: Data = None,
    out: Out = Path("tables"),
    quick: Quick = False,
    models: Models = None,
    only: Only = None,
    seeds: Seeds = None,
    epochs: Epochs = None,
    patience: Patience = None,
    trials: Trials = 20,
    device: Device = "auto",
    engine: EngineName = "local",
    workers: Workers = None,
    finished: Finished = False,
    dry_run: DryRun = False,
    list_: List = False,
    as_json: AsJson = False,
) -> None:
    """Compute a table or figure of a paper and write it beside the published numbers.

    Repeat the command to continue after an interruption.
    """
    from prismrec.cli.table_run import TableRun
    from prismrec.experiments.tables.library import read_table
    from prismrec.experiments.tables.report import check_packages

    if list_:
        _list(as_json=as_json)
        return
    if not names:
        raise InputError("NAME", "none", "a name from `prismrec reproduce --list`")
    _refuse_both("--quick", quick, "--data", data)
    _refuse_both("--dry-run", dry_run, "--finished", finished)
    check_device_and_precision(device, "float32")
    check_packages()
    options = _make_options(models, only, seeds, epochs, patience, device, engine, workers, quick=quick)
    run = TableRun(out, options, 0 if quick else trials, quiet=as_json)
    tables = [read_table(name) for name in dict.fromkeys(names)]
    tasks = run.prepare(tables, data or [], quick=quick)
    if not finished:
        forecasts = run.forecast(tasks, measured=dry_run)
        if dry_run:
            _print_forecasts(forecasts, as_json=as_json)
            return
    outcomes = [run.compute(task, finished=finished) for task in tasks]
    if as_json:
        _print_json(outcomes)
    if any(row.error for outcome in outcomes for row in outcome.rows):
        raise typer.Exit(1)


def _make_options(
    models: list[str] | None,
    only: list[str] | None,
    seeds: int | None,
    epochs: int | None,
    patience: str | None,
    device: str,
    engine: str,
    workers: int | None,
    *,
    quick: bool,
) -> "Options":
    """The options that select rows or change settings."""
    from prismrec.cli.training import parse_count
    from prismrec.experiments.tables.plan import Options
    from prismrec.experiments.tune import check_engine

    if workers is not None and engine != "ray":
        raise InputError("--workers", f"--engine {engine}", "--engine ray, or the same command started several times")
    check_engine(parse_engine(engine))
    return Options(
        models=tuple(models or ()),
        only=tuple(only or ()),
        seeds=1 if quick and seeds is None else seeds,
        epochs=2 if quick and epochs is None else epochs,
        patience=None if patience is None else parse_count("--patience", patience),
        sweep_values=2 if quick else None,
        device=device,
        engine=parse_engine(engine),
        workers=workers,
    )


def _refuse_both(first: str, one: object, second: str, other: object) -> None:
    if one and other:
        raise InputError(first, f"{second} too", "one of them")


def _print_json(outcomes: Sequence["Outcome"]) -> None:
    """Print the result, or a list of several."""
    texts = [outcome.model_dump_json() for outcome in outcomes]
    typer.echo(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")


def _print_forecasts(forecasts: "Sequence[Forecast]", *, as_json: bool) -> None:
    from prismrec.cli.table_forecast import print_json, print_loads

    if as_json:
        print_json(forecasts)
        return
    for each in forecasts:
        print_loads(each)


def _list(*, as_json: bool) -> None:
    from rich.table import Table as RichTable

    from prismrec.cli.tables import name_column, print_table
    from prismrec.experiments.tables.library import all_tables

    rows = [
        (each.name, each.title, f"{each.paper.short}, {each.place}", list(each.paper.data)) for each in all_tables()
    ]
    if as_json:
        keys = ("name", "shows", "published_in", "data")
        typer.echo(json.dumps([dict(zip(keys, row, strict=True)) for row in rows]))
        return
    names = name_column("name", [row[0] for row in rows])
    shown = RichTable(names, "shows", "published in", "data sets")
    for *texts, data in rows:
        shown.add_row(*texts, ", ".join(data))
    print_table(shown)
