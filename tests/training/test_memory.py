import subprocess
import sys

import pytest

SCRIPT = """
import resource, torch
from prismrec.training.memory import keep_freed_memory
if {kept}:
    keep_freed_memory()
torch.set_num_threads(1)
for step in range(25):  # at first the heap grows around the blocks
    if step == 20:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16 << 20)  # 64 MB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other C libraries have no such setting")
def test_memory_freed_by_one_step_is_at_hand_for_the_next() -> None:
    faults = [
        int(subprocess.run([sys.executable, "-c", SCRIPT.format(kept=kept)], capture_output=True, check=True).stdout)
        for kept in (False, True)
    ]
    assert faults[1] < 20 < faults[0]
