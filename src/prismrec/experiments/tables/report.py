"""The report of a table: one HTML page without links to other files."""

import textwrap
from importlib.resources import files

from prismrec.errors import InputError
from prismrec.experiments.tables.grids import (
    absent_grid,
    cell_grid,
    claims_grid,
    elsewhere_grid,
    group_grids,
    others_grid,
    published_protocols,
    result_grids,
    settings_grid,
    test_grid,
)
from prismrec.experiments.tables.outcome import Outcome


def check_packages() -> None:
    """Check that the packages of the report are installed.

    Raises:
        InputError: one is missing.
    """
    try:
        import jinja2  # noqa: F401
        import matplotlib as mpl  # noqa: F401
    except ImportError as error:
        raise InputError("report.html", str(error), "matplotlib and jinja2: pip install 'prismrec[report]'") from error


def render_report(outcome: Outcome) -> str:
    """The page.

    Raises:
        InputError: the packages of the report are not installed.
    """
    check_packages()
    from jinja2 import Environment, StrictUndefined

    from prismrec.experiments.tables.figures import draw_figures

    template = (files("prismrec.experiments") / "tables" / "report.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        outcome=outcome,
        results=result_grids(outcome),
        groups=group_grids(outcome),
        claims=claims_grid(outcome),
        figures=draw_figures(_with_drawn_labels(outcome)),
        elsewhere=[*others_grid(outcome), *elsewhere_grid(outcome)],
        protocols=published_protocols(outcome),
        absent=absent_grid(outcome),
        tests=test_grid(outcome),
        details=[*settings_grid(outcome), *cell_grid(outcome)],
    )


def _with_drawn_labels(outcome: Outcome) -> Outcome:
    """The results with labels for figures: in short lines, and without dollar signs, which would begin formulas."""

    def drawn(label: str) -> str:
        return "\n".join(textwrap.wrap(label, 36)).replace("$", r"\$")

    changes = [{"label": drawn(row.label), "panel": row.panel and drawn(row.panel)} for row in outcome.rows]
    rows = [row.model_copy(update=change) for row, change in zip(outcome.rows, changes, strict=True)]
    return outcome.model_copy(update={"rows": tuple(rows)})
