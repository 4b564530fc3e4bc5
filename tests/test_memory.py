"""Memory that is not there is an error, not the end of the process."""

import subprocess
import sys
from pathlib import Path

import pytest

from prismrec.memory import available_memory

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not tell")

LIMITED = """
import torch
from prismrec.memory import available_memory, limit_memory
limit_memory()
free = available_memory()
torch.ones(free // 16)  # a quarter fits
try:
    torch.empty(free)  # four times as much does not
except RuntimeError as error:
    assert "allocate memory" in str(error), error
else:
    raise SystemExit("allocated more than there is")
"""

BELOW_A_LIMIT = """
import resource
from prismrec.memory import available_memory
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
assert available_memory() < 8 << 30
before = available_memory()
block = bytearray(1 << 30)
assert before - available_memory() >= 1 << 30
"""


@linux
@pytest.mark.parametrize("program", [LIMITED, BELOW_A_LIMIT])
def test_limits_of_the_process_count_and_hold(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout


@linux
def test_there_is_memory_and_no_more_than_the_machine_has() -> None:
    lines = Path("/proc/meminfo").read_text().splitlines()
    total = sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("MemTotal", "SwapTotal")))
    assert 0 < available_memory() <= total
