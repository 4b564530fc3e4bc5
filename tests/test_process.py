import subprocess
import sys
from pathlib import Path

import pytest

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
PAGE_FAULTS = """
import resource, torch
from prismrec.process import retain_freed_memory
if {retain}:
    retain_freed_memory()
torch.set_num_threads(1)
for step in range({steps}):  # in the first steps, the heap grows
    if step == {grown}:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones({megabytes} << 18)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
LARGE_PAGES = """
import torch
from prismrec.process import request_large_pages
if {request}:
    request_large_pages()
table = torch.ones(16 << 20)  # 64 MB
print(open("/proc/self/smaps_rollup").read().split("AnonHugePages:")[1].split()[0])
"""


def printed_number(program: str) -> int:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other C libraries have no such setting")
@pytest.mark.parametrize(("megabytes", "grown", "steps"), [(64, 20, 25), (1200, 10, 12)])
def test_retained_memory_is_not_cleared_in_every_step(megabytes: int, grown: int, steps: int) -> None:
    sizes = {"megabytes": megabytes, "grown": grown, "steps": steps}
    assert printed_number(PAGE_FAULTS.format(retain=False, **sizes)) > 20
    assert printed_number(PAGE_FAULTS.format(retain=True, **sizes)) < 20


@pytest.mark.skipif(
    not HUGE_PAGES.exists() or "[madvise]" not in HUGE_PAGES.read_text(), reason="the system gives no large pages"
)
def test_large_tables_are_on_large_pages_if_requested_before_the_first_tensor() -> None:
    assert printed_number(LARGE_PAGES.format(request=False)) == 0
    assert printed_number(LARGE_PAGES.format(request=True)) > 0
