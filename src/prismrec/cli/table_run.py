"""The steps of `prismrec reproduce`: read the data, estimate time and memory, compute the tables, show them."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from prismrec.errors import printable

if TYPE_CHECKING:
    from prismrec.experiments.tables.choose import Report, Searches
    from prismrec.experiments.tables.forecast import Forecast
    from prismrec.experiments.tables.outcome import Outcome
    from prismrec.experiments.tables.plan import Choose, Options
    from prismrec.experiments.tables.schema import Table
    from prismrec.experiments.tables.sources import Missing, Source


@dataclass(frozen=True)
class Task:
    """A table with its data."""

    table: "Table"
    sources: "Sequence[Source]"
    missing: "Sequence[Missing]"


@dataclass(frozen=True)
class TableRun:
    """How the command computes tables."""

    out: Path
    options: "Options"
    trials: int
    quiet: bool

    def prepare(self, tables: "Sequence[Table]", data: Sequence[str], *, quick: bool) -> list[Task]:
        """Read the data of all tables, and check the folders of their results."""
        from prismrec.experiments.tables.sources import Reader, as_source, find_sources, quick_data
        from prismrec.experiments.tables.write import check_folder

        tasks = []
        reader = Reader()
        for table in tables:
            if quick:
                tasks.append(Task(table, [as_source(quick_data(), table)], ()))
            else:
                tasks.append(Task(table, *find_sources(table, data, reader)))
            check_folder(self.out / table.name)
            for each in tasks[-1].missing:
                typer.echo(f"prismrec: {table.name} without {each.name}, which is missing: {each.where}", err=True)
        return tasks

    def forecast(self, tasks: Sequence[Task], *, measured: bool) -> "list[Forecast]":
        """Print the estimates of all tables before the first one starts."""
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

    def compute(self, task: Task, *, finished: bool) -> "Outcome":
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


def _command() -> str:
    """The command line, without options that do not change the result."""
    return shlex.join(["prismrec", *[word for word in sys.argv[1:] if word not in ("--finished", "--json")]])


def _show(outcome: "Outcome", folder: Path) -> None:
    from rich.table import Table as RichTable

    from prismrec.cli.tables import print_table
    from prismrec.experiments.tables.grids import absent_grid, claims_grid, result_grids

    for grid in [*result_grids(outcome), *claims_grid(outcome), *absent_grid(outcome)]:
        shown = RichTable(*grid.header, title=grid.title, title_justify="left", caption=grid.caption)
        for column in shown.columns[grid.texts :]:
            column.justify = "right"
        for cells in grid.rows:
            shown.add_row(*cells)
        print_table(shown, markup=False)
    typer.echo(f"Written to {printable(str(folder))}")
