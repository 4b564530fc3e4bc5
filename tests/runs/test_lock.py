"""Two processes never write one run."""

import subprocess
import sys
from pathlib import Path

import pytest

from prismrec.errors import InputError
from prismrec.runs import locked

HOLD = """
import sys
from pathlib import Path
from prismrec.runs import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """A process that holds the lock until its standard input closes."""
    words = [sys.executable, "-c", HOLD, str(folder)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_until_the_first_one_ends(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with pytest.raises(InputError, match="another process is writing"), locked(tmp_path):
            pass
        process.communicate("")
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.kill()
        process.wait()
    with locked(tmp_path):
        pass
