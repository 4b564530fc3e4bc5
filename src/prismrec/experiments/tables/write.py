"""The files of a table: JSON with everything, the table as Markdown, LaTeX and CSV, and the report."""

import csv
import io
import re
from pathlib import Path

from prismrec.errors import InputError
from prismrec.experiments.tables.grids import (
    Grid,
    absent_grid,
    claims_grid,
    elsewhere_grid,
    group_grids,
    others_grid,
    published_protocols,
    result_grids,
    same_data,
    settings_grid,
)
from prismrec.experiments.tables.outcome import Outcome
from prismrec.experiments.tables.report import render_report
from prismrec.files import names_in, write_texts
from prismrec.temporary import require_utf8

FILES = frozenset({"results.json", "table.md", "table.tex", "table.csv", "report.html"})
_LATEX = {each: f"\\{each}" for each in "&%$#_{}"} | {
    "~": r"\textasciitilde{}",
    "^": r"\^{}",
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}
_LATEX |= {
    "±": r"$\pm$",
    "–": "--",
    "α": r"$\alpha$",
    "λ": r"$\lambda$",
    "₁": "$_1$",
    "₂": "$_2$",
    "≤": r"$\le$",
    "†": r"$\dagger$",
}


def check_folder(folder: Path) -> None:
    """Create the folder of a report if it is missing, and check that it holds nothing but an earlier report.

    Raises:
        InputError: something else is there, or the folder cannot be written.
    """
    try:
        require_utf8(folder)
        folder.mkdir(parents=True, exist_ok=True)
        others = names_in(folder) - FILES
    except OSError as error:
        raise InputError(folder, error.strerror or str(error), "a folder that can be written") from error
    if others:
        raise InputError(folder, f"{min(others)} in it", "a new folder, or that of an earlier report")


def write_outcome(outcome: Outcome, folder: Path) -> None:
    """Write results.json, table.md, table.tex, table.csv and report.html to a folder, in place of an earlier report.

    Raises:
        InputError: something else is in the folder, a file cannot be written (then the earlier report stays), or the
            packages of the report are not installed.
    """
    check_folder(folder)
    texts = {
        "results.json": outcome.model_dump_json(indent=1) + "\n",
        "table.md": markdown(outcome),
        "table.tex": latex(outcome),
        "table.csv": table_csv(outcome),
        "report.html": render_report(outcome),
    }
    write_texts(folder, texts)


def markdown(outcome: Outcome) -> str:
    """The results as Markdown."""
    grids = [*result_grids(outcome), *group_grids(outcome), *claims_grid(outcome)]
    grids += [*others_grid(outcome), *elsewhere_grid(outcome), *absent_grid(outcome), *settings_grid(outcome)]
    parts = [f"# {outcome.title}", ""]
    if outcome.cite:
        parts += [f"{outcome.place} of {outcome.cite}", ""]
    for grid in grids:
        parts += [f"## {grid.title}", "", markdown_grid(grid), ""]
        if grid.caption:
            parts += [grid.caption.replace("*", r"\*"), ""]
    protocol = "; ".join(f"{name}: {value}" for name, value in outcome.protocol.items())
    parts += ["## Protocol", "", f"- {'Ours: ' if outcome.cite else ''}{protocol}."]
    parts += [f"- {source}: {protocol}" for source, protocol in published_protocols(outcome).items()]
    parts += [f"- {note}" for note in outcome.notes]
    if outcome.command:
        parts += ["", "## Run it again", "", f"    {outcome.command}"]
    return "\n".join(parts) + "\n"


def markdown_grid(grid: Grid) -> str:
    """The cells of a grid as a Markdown table, with the best values in bold."""
    lines = [grid.header, ["---"] * len(grid.header)]
    lines += [
        [_markdown_cell(cell, (r, c) in grid.best) for c, cell in enumerate(row)] for r, row in enumerate(grid.rows)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _markdown_cell(cell: str, is_best: bool) -> str:
    """The text with its star after the bold part."""
    text = re.sub(r"([\\|<*])", r"\\\1", cell.removesuffix("*"))
    star = r"\*" if cell.endswith("*") else ""
    return (f"**{text}**" if is_best else text) + star


def latex(outcome: Outcome) -> str:
    """The results as LaTeX tables for the package booktabs."""
    parts = [f"% {outcome.name}: needs the package booktabs"]
    for grid in result_grids(outcome):
        parts += [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex(outcome.title)} ({_latex(grid.title)}). {_latex(grid.caption)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(grid.header) - 1)}}}",
            r"\toprule",
            _latex_line(grid.header),
            r"\midrule",
        ]
        for r, row in enumerate(grid.rows):
            parts.append(_latex_line(row, {c for each, c in grid.best if each == r}))
        parts += [r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
    return "\n".join(parts)


def _latex_line(cells: tuple[str, ...], bold: set[int] | None = None) -> str:
    texts = [rf"\textbf{{{_latex(cell)}}}" if c in (bold or ()) else _latex(cell) for c, cell in enumerate(cells)]
    return " & ".join(texts) + r" \\"


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def table_csv(outcome: Outcome) -> str:
    """One line per row, data set and metric."""
    columns = ["data", "row", "model", "metric", "mean", "sd", "seeds"]
    columns += ["published", "published_in", "difference", "p_holm", "reason"]
    p_values = {(test.data, test.label, test.metric): test.p_holm for test in outcome.tests}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in outcome.rows:
        for metric in outcome.metrics:
            ours = row.metrics.get(metric)
            published = (same_data(row) or {}).get(metric)
            difference = None if ours is None or published is None else ours.mean - published
            values = [None, None, 0] if ours is None else [ours.mean, ours.sd, len(ours.values)]
            p_holm = p_values.get((row.data, row.label, metric))
            source = None if published is None else f"{row.published[0].source} (another protocol)"
            known = [published, source, difference, p_holm, row.error or row.reason]
            writer.writerow([row.data, row.label, row.model, metric, *values, *known])
    return text.getvalue()
