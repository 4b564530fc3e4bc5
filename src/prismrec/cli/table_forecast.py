"""The estimate of the time and memory of tables, printed before they start."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from prismrec.errors import printable
from prismrec.words import count, duration

if TYPE_CHECKING:
    from prismrec.experiments.tables.forecast import Forecast, Load


def print_forecast(forecast: "Forecast") -> None:
    """Print a few lines on standard error."""
    for line in describe_forecast(forecast):
        typer.echo(printable(f"table {forecast.table}: {line}"), err=True)


def describe_forecast(forecast: "Forecast") -> list[str]:
    """The estimate of a table as lines of text."""
    loads = forecast.loads
    finished = sum(load.finished for load in loads)
    elsewhere = sum(load.elsewhere for load in loads)
    left = sum(load.left for load in loads)
    trials = sum(load.trials for load in loads)
    parts = [f"{finished} finished", f"{left} left"]
    if elsewhere:
        parts.insert(1, f"{elsewhere} running in other processes")
    lines = [f"{count(finished + elsewhere + left, 'training')}: {', '.join(parts)}"]
    if trials:
        lines[0] += f", after {count(trials, 'trial')} of hyperparameters"
    if left:
        lines.append("`--dry-run` estimates their time" if forecast.seconds is None else _time(forecast))
    if forecast.peak_bytes is not None and forecast.most_processes is not None:
        memory = f"{forecast.peak_bytes / 2**30:.2f} GiB of memory per process"
        lines.append(f"{memory}, enough here for {count(forecast.most_processes, 'process')}")
    lines += [f"will fail: {error}" for load in loads for error in load.errors]
    return lines


def _time(forecast: "Forecast") -> str:
    assert forecast.seconds is not None
    least = duration(forecast.seconds[0])
    most = duration(forecast.seconds[1])
    if least == most:
        return f"about {least} in one process"
    first, last = forecast.epochs
    return f"{least} to {most} in one process, for trainings of {first} to {last} epochs"


def print_loads(forecast: "Forecast") -> None:
    """Print a line per model and data set."""
    from rich.table import Table

    from prismrec.cli.tables import literal, print_table

    table = Table("model", "data", title=literal(forecast.table), title_justify="left")
    for header in ("finished", "elsewhere", "left", "trials", "time of each", "GiB"):
        table.add_column(header, justify="right")
    for load in forecast.loads:
        numbers = [str(number) for number in (load.finished, load.elsewhere, load.left, load.trials)]
        memory = "" if load.peak_bytes is None else f"{load.peak_bytes / 2**30:.2f}"
        table.add_row(literal(load.model), literal(load.data), *numbers, _time_of_each(load), memory)
    print_table(table)


def _time_of_each(load: "Load") -> str:
    if load.seconds is None:
        return "fails" if load.errors else ""
    return " to ".join(dict.fromkeys(duration(seconds) for seconds in load.seconds))


def print_json(forecasts: "Sequence[Forecast]") -> None:
    """Print the forecasts as one JSON list."""
    typer.echo(json.dumps([{**asdict(each), "seconds": each.seconds} for each in forecasts]))
