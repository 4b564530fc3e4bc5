"""A training killed at any file operation leaves a run that can be used and completed, and no temporary files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("kill_points.py")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks processes that have loaded PyTorch")
def test_a_kill_at_any_file_operation_can_be_mended(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    words = [sys.executable, str(SCRIPT), str(tmp_path / "runs"), "2", "5"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    kills = [int(line.split()[2]) for line in done.stdout.splitlines()]
    assert len(kills) == 3
    assert kills[0] > 50  # or the kills would miss the operations
    assert min(kills[1:]) > 10
