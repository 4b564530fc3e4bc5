"""`prismrec reproduce`: a table or figure of a paper, computed and shown beside the published numbers."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prismrec.errors import InputError, printable

if TYPE_CHECKING:
    from prismrec.experiments.tables.choose import Report, Searches
    from prismrec.experiments.tables.forecast import Forecast
    from prismrec.experiments.tables.outcome import Outcome
    from prismrec.experiments.tables.plan import Choose, Options
    from prismrec.experiments.tables.schema import Table
    from prismrec.experiments.tables.sources import Missing, Source

_NAME_HELP = "Names from --list, or .yaml files of your own."
_DATA_HELP = "A folder of data, or its name in PRISMREC_DATA; may be repeated. Default: the paper's data sets."
_QUICK_HELP = "A first look: a tiny example shop, two epochs, one seed, at most two values of each sweep."
_ONLY_HELP = "Compute only the row with this label; may be repeated."
_TRIALS_HELP = "Settings to try per model and data set, if prismrec knows none; 0 takes the defaults."
_FINISHED_HELP = "Train nothing; report what is finished."
_DRY_HELP = "Say what is finished and left, estimate time and memory, and end."
_LIST_HELP = "List all names and end."

Names = Annotated[list[str] | None, typer.Argument(help=_NAME_HELP, metavar="[NAME]...", show_default=False)]
Data = Annotated[list[str] | None, typer.Option("--data", help=_DATA_HELP, show_default=False)]
Out = Annotated[Path, typer.Option("--out", help="Folder for the results: OUT/NAME, and OUT/cells for the trainings.")]
Quick = Annotated[bool, typer.Option("--quick", help=_QUICK_HELP)]
Models = Annotated[list[str] | None, typer.Option("--models", help="Only rows of this model; may be repeated.")]
Only = Annotated[list[str] | None, typer.Option("--only", help=_ONLY_HELP)]
_SEEDS_HELP = "Number of seeds, instead of that of the table."
Seeds = Annotated[int | None, typer.Option("--seeds", help=_SEEDS_HELP, min=1, max=1000)]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Largest number of epochs; 1000 if not given.", min=1)]
Patience = Annotated[str | None, typer.Option("--patience", help="As in `prismrec train`.", metavar="auto|N")]
Trials = Annotated[int, typer.Option("--trials", help=_TRIALS_HELP, min=0)]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Finished = Annotated[bool, typer.Option("--finished", help=_FINISHED_HELP)]
DryRun = Annotated[bool, typer.Option("--dry-run", help=_DRY_HELP)]
List = Annotated[bool, typer.Option("--list", help=_LIST_HELP)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the results as JSON and nothing else.")]


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
    finished: Finished = False,
    dry_run: DryRun = False,
    list_: List = False,
    as_json: AsJson = False,
) -> None:
    """Compute a table or figure of a paper and write it beside the published numbers; repeat a command to resume."""
    from prismrec.cli.options import check_device_and_precision
    from prismrec.experiments.tables.library import read_table
    from prismrec.experiments.tables.report import check_packages

    if list_:
        _list()
        return
    if not names:
        raise InputError("NAME", "none", "a name from `prismrec reproduce --list`")
    _refuse_both("--quick", quick, "--data", data)
    _refuse_both("--dry-run", dry_run, "--finished", finished)
    check_device_and_precision(device, "float32")
    check_packages()
    options = _make_options(models, only, seeds, epochs, patience, device, quick=quick)
    run = _Run(out, options, 0 if quick else trials, quiet=as_json)
    tables = [read_table(name) for name in dict.fromkeys(names)]
    tasks = run.prepare(tables, data or [], quick=quick)
    if not finished:
        forecasts = run.forecast(tasks, measured=dry_run or not quick)
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
    *,
    quick: bool,
) -> "Options":
    """What narrows or changes the tables."""
    from prismrec.cli.training import parse_patience
    from prismrec.experiments.tables.plan import Options

    return Options(
        models=tuple(models or ()),
        only=tuple(only or ()),
        seeds=1 if quick and seeds is None else seeds,
        epochs=2 if quick and epochs is None else epochs,
        patience=None if patience is None else parse_patience(patience),
        sweep_values=2 if quick else None,
        device=device,
    )


def _refuse_both(first: str, one: object, second: str, other: object) -> None:
    if one and other:
        raise InputError(first, f"{second} too", "one of them")


@dataclass(frozen=True)
class _Task:
    """A table with its data."""

    table: "Table"
    sources: "Sequence[Source]"
    missing: "Sequence[Missing]"


@dataclass(frozen=True)
class _Run:
    """How the command computes tables."""

    out: Path
    options: "Options"
    trials: int
    quiet: bool

    def prepare(self, tables: "Sequence[Table]", data: Sequence[str], *, quick: bool) -> list[_Task]:
        """Read the data of all tables, and check the folders of their results."""
        from prismrec.experiments.tables.sources import Reader, as_source, find_sources, quick_data
        from prismrec.experiments.tables.write import check_folder

        tasks = []
        reader = Reader()
        for table in tables:
            if quick:
                tasks.append(_Task(table, [as_source(quick_data(), table)], ()))
            else:
                tasks.append(_Task(table, *find_sources(table, data, reader)))
            check_folder(self.out / table.name)
            for each in tasks[-1].missing:
                typer.echo(f"prismrec: {table.name} without {each.name}, which is missing: {each.where}", err=True)
        return tasks

    def forecast(self, tasks: Sequence[_Task], *, measured: bool) -> "list[Forecast]":
        """Say what the tables will take, all of them before the first one starts."""
        from prismrec.cli.table_forecast import print_forecast
        from prismrec.cli.table_progress import TableLines
        from prismrec.experiments.tables.forecast import forecast
        from prismrec.experiments.tables.plan import make_settings
        from prismrec.memory import limit_memory
        from prismrec.ops.device import pick_device

        if pick_device(make_settings(tasks[0].table, 0, self.options).device).type == "cpu":
            limit_memory()
        found = []
        for task in tasks:
            choose = self._choose(task.table, "preview")
            with TableLines(task.table.name, quiet=self.quiet) as lines:
                found.append(
                    forecast(
                        task.table,
                        task.sources,
                        self.out,
                        self.options,
                        choose,
                        measured=measured,
                        tell=lines.measuring,
                    )
                )
            if not self.quiet:
                print_forecast(found[-1])
        return found

    def compute(self, task: _Task, *, finished: bool) -> "Outcome":
        """Compute a table and write its files."""
        from prismrec.cli.table_progress import TableLines
        from prismrec.experiments.tables.reproduce import reproduce as compute
        from prismrec.experiments.tables.write import write_outcome

        try:
            with TableLines(task.table.name, quiet=self.quiet) as lines:
                outcome = compute(
                    task.table,
                    task.sources,
                    self.out,
                    self.options,
                    self._choose(task.table, "finished" if finished else "run", lines.search),
                    missing=task.missing,
                    command=_command(),
                    finished_only=finished,
                    watcher=lines,
                )
        except KeyboardInterrupt as error:
            typer.echo("prismrec: interrupted; finished trainings are kept: repeat the command to continue", err=True)
            raise typer.Exit(130) from error
        folder = self.out / task.table.name
        write_outcome(outcome, folder)
        if not self.quiet:
            _show(outcome, folder)
        return outcome

    def _choose(self, table: "Table", searches: "Searches", report: "Report | None" = None) -> "Choose":
        from prismrec.experiments.tables.choose import chooser

        return chooser(table, self.out, self.trials, self.options, report, searches=searches)


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


def _command() -> str:
    """The command line, without what changes no result."""
    return shlex.join(["prismrec", *[word for word in sys.argv[1:] if word not in ("--finished", "--json")]])


def _list() -> None:
    from rich.table import Table as RichTable

    from prismrec.cli.tables import print_table
    from prismrec.experiments.tables.library import all_tables

    shown = RichTable("name", "shows", "published in", "data sets")
    for table in all_tables():
        shown.add_row(table.name, table.title, f"{table.paper.short}, {table.place}", ", ".join(table.paper.data))
    print_table(shown)


def _show(outcome: "Outcome", folder: Path) -> None:
    from rich.table import Table as RichTable

    from prismrec.cli.tables import print_table
    from prismrec.experiments.tables.grids import claims_grid, result_grids

    for grid in [*result_grids(outcome), *claims_grid(outcome)]:
        shown = RichTable(*grid.header, title=grid.title, title_justify="left", caption=grid.caption)
        for column in shown.columns[grid.texts :]:
            column.justify = "right"
        for cells in grid.rows:
            shown.add_row(*cells)
        print_table(shown, markup=False)
    typer.echo(f"Written to {printable(str(folder))}")
