"""Write docs/report.png, the picture of a report in the README: `python docs/make_report.py`. Needs Chromium."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from prismrec.experiments.tables.outcome import Outcome
from prismrec.experiments.tables.report import render_report

DOCS = Path(__file__).parent
TABLE = "ludp-fig3-tiktok"
SIZE = "920,1440"


def main() -> None:
    """Render the report of a stored table, and let Chromium take a picture of its top."""
    browser = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        sys.exit("no Chromium: install it, or set CHROMIUM to its path")
    outcome = Outcome.model_validate_json((DOCS / "tables" / f"{TABLE}.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        page.write_text(render_report(outcome), encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={SIZE}"]
        subprocess.run([browser, *options, f"--screenshot={DOCS / 'report.png'}", page.as_uri()], check=True)


if __name__ == "__main__":
    main()
