import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from prismrec.process import cpu_quota, warn_of_excess_threads

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
LIMIT_THREADS = """
from pathlib import Path
from prismrec.process import limit_threads
{before}
limit_threads(Path({process!r}))
import torch
print(torch.get_num_threads())
"""
SET_BY_OTHER_TESTS = ("_NUM_THREADS", "THP_MEM_ALLOC_ENABLE")
CPU_GROUPS = Path("/sys/fs/cgroup/cpu")
"""Control groups of version 1."""
V2_MOUNT = "41 31 0:38 / ROOT/sys rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNT = "32 31 0:29 {root} ROOT/sys/cpu,cpuacct ro,nosuid - cgroup cgroup rw,cpu,cpuacct\n"
OTHER_MOUNTS = (
    "31 23 0:28 / ROOT/sys rw - tmpfs tmpfs rw,mode=755\n"
    "35 31 0:32 / ROOT/sys/memory rw shared:9 master:1 - cgroup cgroup rw,memory\n"
    "36 31 0:33 / ROOT/sys/cpuset rw - cgroup cgroup rw,cpuset\n"
)
several_cpus = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two CPUs")


def printed_number(program: str, **environment: str) -> int:
    inherited = {name: value for name, value in os.environ.items() if not name.endswith(SET_BY_OTHER_TESTS)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=inherited | environment)
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


def control_groups(folder: Path, groups: str, mounts: str, limits: dict[str, str]) -> Path:
    """A folder with the files of /proc/PID, and the files of its control groups.

    In `mounts`, ROOT stands for `folder`, and blanks are written as the kernel does.
    """
    process = folder / "proc"
    process.mkdir(parents=True)
    (process / "cgroup").write_text(groups)
    (process / "mountinfo").write_text(mounts.replace("ROOT", str(folder).replace(" ", "\\040")))
    for name, text in limits.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n")
    return process


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"sys/jobs/mine/cpu.max": "150000 100000"}, 1.5),
        ({"sys/jobs/mine/cpu.max": "max 100000"}, None),
        ({"sys/jobs/mine/cpu.max": "400000 100000", "sys/jobs/cpu.max": "100000 50000"}, 2.0),
        ({"sys/jobs/mine/cpu.max": "max 100000", "sys/cpu.max": "50000 100000"}, 0.5),
        ({"sys/others/cpu.max": "50000 100000"}, None),
        ({}, None),
    ],
)
def test_quota_of_version_2_is_the_least_of_the_group_and_its_parents(
    limits: dict[str, str], expected: float | None, tmp_path: Path
) -> None:
    process = control_groups(tmp_path / "with blank", "0::/jobs/mine\n", OTHER_MOUNTS + V2_MOUNT, limits)
    assert cpu_quota(process) == expected


@pytest.mark.parametrize(
    ("quotas", "expected"),
    [
        ({"docker/1f/cpu.cfs_quota_us": "250000", "docker/1f/cpu.cfs_period_us": "100000"}, 2.5),
        ({"docker/1f/cpu.cfs_quota_us": "-1", "docker/1f/cpu.cfs_period_us": "100000"}, None),
        ({"docker/cpu.cfs_quota_us": "30000", "docker/cpu.cfs_period_us": "10000"}, 3.0),
    ],
)
def test_quota_of_version_1_is_the_least_of_the_group_and_its_parents(
    quotas: dict[str, str], expected: float | None, tmp_path: Path
) -> None:
    groups = "4:memory:/docker/1f\n3:cpuset:/\n2:cpu,cpuacct:/docker/1f\n0::/\n"
    limits = {f"sys/cpu,cpuacct/{name}": text for name, text in quotas.items()}
    process = control_groups(tmp_path, groups, OTHER_MOUNTS + V1_MOUNT.format(root="/"), limits)
    assert cpu_quota(process) == expected


@pytest.mark.parametrize("root", ["/docker/1f", "/another"])
def test_quota_inside_a_container_is_at_the_mount_that_shows_only_its_group(root: str, tmp_path: Path) -> None:
    quota = {"sys/cpu,cpuacct/cpu.cfs_quota_us": "100000", "sys/cpu,cpuacct/cpu.cfs_period_us": "100000"}
    groups = "2:cpu,cpuacct:/docker/1f\n0::/docker/1f\n"
    process = control_groups(tmp_path, groups, OTHER_MOUNTS + V1_MOUNT.format(root=root), quota)
    assert cpu_quota(process) == 1.0


def test_a_system_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None


def process_with_quota(cpus: float, folder: Path) -> Path:
    limits = {"sys/mine/cpu.max": f"{int(cpus * 100_000)} 100000"}
    return control_groups(folder, "0::/mine\n", V2_MOUNT, limits)


@several_cpus
@pytest.mark.parametrize("quota", [0.5, 1, 1.9])
def test_pytorch_uses_no_more_threads_than_the_quota_allows(quota: float, tmp_path: Path) -> None:
    process = process_with_quota(quota, tmp_path)
    assert printed_number(LIMIT_THREADS.format(before="", process=str(process))) == 1


def test_a_quota_of_more_cpus_than_there_are_changes_nothing(tmp_path: Path) -> None:
    process = process_with_quota(1e4, tmp_path)
    unlimited = printed_number("import torch; print(torch.get_num_threads())")
    assert printed_number(LIMIT_THREADS.format(before="", process=str(process))) == unlimited


def test_the_users_own_number_of_threads_wins(tmp_path: Path) -> None:
    process = str(process_with_quota(1, tmp_path))
    wanted = printed_number("import torch; print(torch.get_num_threads())", OMP_NUM_THREADS="2")
    assert printed_number(LIMIT_THREADS.format(before="", process=process), OMP_NUM_THREADS="2") == wanted
    chosen = "import torch; torch.set_num_threads(3)"
    assert printed_number(LIMIT_THREADS.format(before=chosen, process=process)) == 3


def test_too_many_threads_get_a_warning_unless_the_user_has_chosen_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = process_with_quota(1.5, tmp_path)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with pytest.warns(UserWarning, match=r"PyTorch uses 4 threads.*1\.5 CPUs.*torch\.set_num_threads\(1\)"):
        warn_of_excess_threads(4, process)
    with warnings.catch_warnings(action="error"):
        warn_of_excess_threads(1, process)
        monkeypatch.setenv("OMP_NUM_THREADS", "4")
        warn_of_excess_threads(4, process)


@several_cpus
@pytest.mark.skipif(not os.access(CPU_GROUPS, os.W_OK), reason="needs the right to make a control group (version 1)")
def test_importing_prismrec_before_pytorch_obeys_a_real_quota() -> None:
    group = CPU_GROUPS / f"prismrec-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "cpu.cfs_quota_us").write_text("100000")
        join = f"open({str(group / 'tasks')!r}, 'w').write('0')"  # 0 is the calling process
        count = "import torch; print(torch.get_num_threads())"
        assert printed_number(f"{join}; import prismrec; {count}") == 1
        assert printed_number(f"{join}; {count}") > 1
    finally:
        group.rmdir()
