import subprocess
import sys
from pathlib import Path

import pytest
import torch

from prismrec.ops.device import flush_denormals

SCRIPT = """
import resource, torch
from prismrec.process import retain_freed_memory
if {kept}:
    retain_freed_memory()
torch.set_num_threads(1)
for step in range({steps}):  # at first the heap grows around the blocks
    if step == {grown}:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones({megabytes} << 18)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other C libraries have no such setting")
@pytest.mark.parametrize(("megabytes", "grown", "steps"), [(64, 20, 25), (1200, 10, 12)])
def test_memory_freed_by_one_step_is_at_hand_for_the_next(megabytes: int, grown: int, steps: int) -> None:
    scripts = [SCRIPT.format(kept=kept, megabytes=megabytes, grown=grown, steps=steps) for kept in (False, True)]
    faults = [
        int(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)
        for script in scripts
    ]
    assert faults[1] < 20 < faults[0]


PAGES = """
import torch
from prismrec.training import request_large_pages
if {asked}:
    request_large_pages()
table = torch.ones(16 << 20)  # 64 MB
print(open("/proc/self/smaps_rollup").read().split("AnonHugePages:")[1].split()[0])
"""
THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(not THP.exists() or "[madvise]" not in THP.read_text(), reason="no pages of 2 MB for the asking")
def test_large_tables_lie_on_large_pages_if_asked_before_the_first() -> None:
    kilobytes = [
        int(subprocess.run([sys.executable, "-c", PAGES.format(asked=asked)], capture_output=True, check=True).stdout)
        for asked in (False, True)
    ]
    assert kilobytes[0] == 0
    assert kilobytes[1] > 0


def test_denormal_numbers_are_zero_in_the_block_and_themselves_after_it() -> None:
    tiny = torch.full((4,), 1e-30)
    assert (tiny * 1e-10).count_nonzero() == 4
    with flush_denormals():
        assert (tiny * 1e-10).count_nonzero() == 0
    assert (tiny * 1e-10).count_nonzero() == 4


def test_a_block_within_a_block_leaves_the_outer_one_as_it_was() -> None:
    tiny = torch.full((4,), 1e-30)
    with flush_denormals():
        with flush_denormals():
            pass
        assert (tiny * 1e-10).count_nonzero() == 0
    assert (tiny * 1e-10).count_nonzero() == 4
