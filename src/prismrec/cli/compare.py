"""`prismrec compare`: test whether runs differ, user by user."""

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prismrec.cli.evaluate import load
from prismrec.cli.options import AsJson
from prismrec.errors import InputError

if TYPE_CHECKING:
    from prismrec.runs import Run, RunTable

_METRICS = ["recall@20", "ndcg@20"]
_OUT_HELP = "A folder for report.html, the table as Markdown, LaTeX and CSV, and results.json."
_METRIC_HELP = "A metric with its cut-off; may be repeated."


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run directories; the first one is the reference.")],
    metric: Annotated[list[str], typer.Option(help=_METRIC_HELP)] = _METRICS,
    split: Annotated[str, typer.Option(help="valid or test.")] = "test",
    out: Annotated[Path | None, typer.Option(help=_OUT_HELP, show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Compare runs on the same data with the first one: differences, intervals and paired tests over users."""
    from prismrec.runs import compare_runs

    if len(runs) < 2:
        raise InputError("RUNS", "one run", "two or more run directories")
    loaded = [load(folder) for folder in runs]
    metrics = list(dict.fromkeys(metric))
    table = compare_runs(loaded, metrics, split=split)
    if out is not None:
        named = {f"{run.manifest.model} ({folder})": run for folder, run in zip(runs, loaded, strict=True)}
        _write(out, named, metrics, split)
    if as_json:
        typer.echo(json.dumps(_report(runs, loaded, table), ensure_ascii=False))
    else:
        _show(runs, loaded, table)


def _write(out: Path, runs: "dict[str, Run]", metrics: Sequence[str], split: str) -> None:
    from prismrec.experiments.tables.runs import outcome_of_runs
    from prismrec.experiments.tables.write import write_outcome

    command = shlex.join(["prismrec", *sys.argv[1:]])
    write_outcome(outcome_of_runs(out.name, runs, metrics, split=split, command=command), out)


def _report(folders: Sequence[Path], runs: "Sequence[Run]", table: "RunTable") -> dict[str, Any]:
    described = [
        {"run": str(folder), "model": run.manifest.model, "seed": run.manifest.settings.seed, **means}
        for folder, run, means in zip(folders, runs, table.means, strict=True)
    ]
    comparisons = [
        {
            "run": str(folders[each.run]),
            "metric": each.metric,
            "difference": each.tests.difference,
            "interval": each.tests.interval,
            "t_p": each.tests.t_p,
            "t_p_holm": each.t_p_holm,
            "wilcoxon_p": each.tests.wilcoxon_p,
            "wilcoxon_p_holm": each.wilcoxon_p_holm,
        }
        for each in table.comparisons
    ]
    return {
        "split": table.split,
        "users": table.num_users,
        "reference": str(folders[0]),
        "runs": described,
        "comparisons": comparisons,
    }


def _show(folders: Sequence[Path], runs: "Sequence[Run]", table: "RunTable") -> None:
    from rich.table import Table

    from prismrec.cli.tables import literal, print_table

    title = f"{table.split}, {table.num_users:,} users; differences to {folders[0]}"
    shown = Table("run", "model", "metric", title=literal(title), title_justify="left")
    for header in ("value", "difference", "95 % interval", "t-test p", "Wilcoxon p"):
        shown.add_column(header, justify="right")
    for metric, value in table.means[0].items():
        shown.add_row(literal(str(folders[0])), literal(runs[0].manifest.model), metric, f"{value:.4f}", *[""] * 4)
    for each in table.comparisons:
        low, high = each.tests.interval
        shown.add_row(
            literal(str(folders[each.run])),
            literal(runs[each.run].manifest.model),
            each.metric,
            f"{table.means[each.run][each.metric]:.4f}",
            f"{each.tests.difference:+.4f}",
            f"{low:+.4f} to {high:+.4f}",
            f"{each.t_p_holm:.2g}",
            f"{each.wilcoxon_p_holm:.2g}",
        )
    print_table(shown)
    count = len(table.comparisons)
    typer.echo(f"p-values are two-sided and adjusted for {count} comparisons (Holm).")
