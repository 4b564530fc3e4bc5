"""Requests that schemathesis makes from the OpenAPI description: no error of the server, no undocumented answer."""

import subprocess
import sys
from pathlib import Path

from serving.processes import running


def test_no_generated_request_breaks_the_server_or_gets_an_undocumented_answer(
    run_folder: Path, tmp_path: Path
) -> None:
    """Ids that fit the schema may be unknown, so that a refusal of valid data is no failure here."""
    with running(run_folder, tmp_path / "log") as server:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"]
        options = ["--exclude-checks", "positive_data_acceptance", "--max-examples", "20", "--seed", "0", "--no-color"]
        report = tmp_path / "report"
        with report.open("w") as file:
            done = subprocess.run([*command, *options], stdout=file, stderr=file, cwd=tmp_path, check=False)
        assert done.returncode == 0, report.read_text()[-6000:]
        assert not server.events("error")
