import csv
import io
import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from experiments.tables.examples import run, table
from prismrec.errors import InputError
from prismrec.experiments.tables.grids import Grid
from prismrec.experiments.tables.outcome import Outcome
from prismrec.experiments.tables.report import render_report
from prismrec.experiments.tables.sources import Source
from prismrec.experiments.tables.write import latex, markdown, markdown_grid, table_csv, write_outcome

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture
def outcome(source: Source, tmp_path: Path) -> Outcome:
    return run(table(title='Of <b>& "quotes"'), source, tmp_path, seeds=2)


def test_all_files_are_written_and_the_json_has_everything(outcome: Outcome, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_outcome(outcome, folder)
    assert {path.name for path in folder.iterdir()} == {
        *("results.json", "table.md", "table.tex", "table.csv", "report.html"),
    }
    stored = json.loads((folder / "results.json").read_text())
    assert Outcome.model_validate(stored) == outcome
    cell = stored["rows"][2]["cells"][1]
    assert cell["settings"]["seed"] == 1
    assert cell["config"]["embedding_size"] == 8
    assert cell["versions"]["torch"]
    assert cell["seconds"] > 0
    assert cell["peak_bytes"] > 0


def test_a_report_replaces_an_earlier_one_and_nothing_else(outcome: Outcome, tmp_path: Path) -> None:
    write_outcome(outcome, tmp_path / "out")
    write_outcome(outcome.model_copy(update={"title": "Again"}), tmp_path / "out")
    assert "Again" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "interactions.csv").touch()
    for place in (tmp_path / "shop", tmp_path / "shop" / "interactions.csv", Path("/dev/null")):
        with pytest.raises(InputError, match=re.escape(str(place))):
            write_outcome(outcome, place)
    assert Path("/dev/null").is_char_device()
    assert [path.name for path in (tmp_path / "shop").iterdir()] == ["interactions.csv"]


def test_the_csv_has_one_line_per_row_and_metric(outcome: Outcome) -> None:
    lines = list(csv.DictReader(io.StringIO(table_csv(outcome))))
    assert len(lines) == 6
    line = next(each for each in lines if each["row"] == "MF" and each["metric"] == "recall@20")
    assert float(line["mean"]) == outcome.rows[1].metrics["recall@20"].mean
    assert float(line["published"]) == 0.2
    assert float(line["difference"]) == pytest.approx(float(line["mean"]) - 0.2)
    assert line["seeds"] == "2"


def test_the_markdown_table_has_as_many_cells_in_each_line(outcome: Outcome) -> None:
    blocks = re.findall(r"(?:^\|.*\|\n)+", markdown(outcome), flags=re.M)
    assert len(blocks) >= 3
    for block in blocks:
        assert len({line.count("|") for line in block.splitlines()}) == 1
    assert re.search(r"\*\*0\.\d{4} ± 0\.\d{4}", blocks[0])


def test_a_best_value_with_a_star_is_bold_without_its_star() -> None:
    grid = Grid("Results", ("row", "x"), (("a|b", "0.5*"), ("c", "0.4*")), best=frozenset({(0, 1)}))
    assert markdown_grid(grid).splitlines()[2:] == [r"| a\|b | **0.5**\* |", r"| c | 0.4\* |"]


def test_latex_escapes_what_latex_would_read(source: Source, tmp_path: Path) -> None:
    rows = [{"label": "50 % & more_ #1", "model": "most-popular"}, {"label": "B", "model": "MF-BPR"}]
    text = latex(run(table(rows=rows, reference=None, claims=[]), source, tmp_path))
    assert r"50 \% \& more\_ \#1 &" in text
    assert text.count(r"\toprule") == text.count(r"\end{tabular}") == 1


def test_characters_that_markdown_or_latex_reads_otherwise_are_escaped(outcome: Outcome) -> None:
    label = r"a < b | <i> *c* \e"
    named = outcome.model_copy(update={"rows": (outcome.rows[0].model_copy(update={"label": label}),)})
    assert r"| a \< b \| \<i> \*c\* \\e |" in markdown(named)
    assert r"a \textless{} b \textbar{} \textless{}i\textgreater{}" in latex(named)


def test_long_labels_leave_room_in_figures_and_dollar_signs_begin_no_formula(outcome: Outcome) -> None:
    label = r"from $5 to $\nothing in a label of eighty characters, as those of compared runs"
    rows = [outcome.rows[0].model_copy(update={"label": label, "panel": label}), *outcome.rows[1:]]
    page = Page()
    page.feed(render_report(outcome.model_copy(update={"rows": tuple(rows)})))
    assert label in page.text  # the tables
    assert r"from $5 to $\nothing in a label of" in page.text.replace(label, "")  # the first line in a figure


class Page(HTMLParser):
    """Collects what a page loads, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attributes if name in ("src", "href", "xlink:href", "srcset")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_is_one_page_that_loads_nothing(outcome: Outcome) -> None:
    html = render_report(outcome)
    page = Page()
    page.feed(html)
    assert all(link.startswith("#") for link in page.links)
    assert not {"script", "link", "iframe", "img", "b"} & set(page.tags)
    assert "@import" not in html
    assert not re.search(r"url\((?!#|'#|\"#)", html)
    assert 'Of <b>& "quotes"' in page.text
    assert page.tags.count("svg") == 2
    for label in ("popular", "MF", "VBPR"):
        assert label in page.text


def test_equal_results_make_equal_pages(outcome: Outcome) -> None:
    assert render_report(outcome) == render_report(outcome)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium")
@pytest.mark.parametrize("width", [360, 1200])
def test_a_browser_shows_the_report_without_errors_or_sideways_scrolling(
    outcome: Outcome, tmp_path: Path, width: int
) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright's Python package is not installed")
    folder = tmp_path / "out"
    write_outcome(outcome, folder)
    wrong: list[str] = []
    with playwright.sync_playwright() as drivers:
        browser = drivers.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 800})
        page.on("console", lambda message: message.type == "error" and wrong.append(message.text))
        page.on("request", lambda request: request.url.startswith("file:") or wrong.append(request.url))
        page.goto(f"file://{folder / 'report.html'}")
        assert page.locator("figure svg").count() == 2
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("[...document.querySelectorAll('figure svg')].every(e => e.clientHeight > 50)")
        browser.close()
    assert wrong == []
