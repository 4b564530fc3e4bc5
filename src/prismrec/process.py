"""Settings of the whole process. The command line applies them; a program that uses the library may apply them too."""

import ctypes
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_TRIM_THRESHOLD = -1
"""M_TRIM_THRESHOLD in glibc's malloc.h."""
_MMAP_MAX = -4
"""M_MMAP_MAX in glibc's malloc.h."""
_THIS_PROCESS = Path("/proc/self")


def retain_freed_memory() -> None:
    """Let malloc keep freed memory instead of returning it to the system.

    A training step allocates the same blocks as the step before. By default, glibc returns large blocks to the system,
    which clears every page again on the next access. Clearing takes up to a quarter of a step, and half of it with
    tables of several hundred megabytes. The setting holds until the process ends. It has no effect with other C
    libraries.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, -1)


def request_large_pages() -> None:
    """Let PyTorch request 2 MB pages for large tensors, as NumPy does by default.

    Embeddings are read row by row in random order. With 4 KB pages, nearly every row of a large table misses the TLB
    and costs a page walk. Call this before PyTorch allocates its first tensor: PyTorch reads the variable once.
    It has no effect on systems without transparent huge pages.
    """
    if Path("/sys/kernel/mm/transparent_hugepage").exists():
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def limit_threads(process: Path = _THIS_PROCESS) -> None:
    """Let PyTorch use no more threads than the CPU quota of the container allows, at least one.

    Without this, PyTorch uses a thread for each core of the machine. If the quota is smaller, the system stops all of
    them for most of the time. `import prismrec` calls this function. It sets OMP_NUM_THREADS, which PyTorch reads when
    it is loaded. It has no effect if the variable is set, if PyTorch is loaded already, or if there is no quota.

    Args:
        process: the folder of the process in /proc.
    """
    quota = cpu_quota(process)
    if quota is not None and "torch" not in sys.modules and quota < _usable_cpus():
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, int(quota))))


def warn_of_excess_threads(threads: int, process: Path = _THIS_PROCESS) -> None:
    """Warn if PyTorch has more threads than the CPU quota allows, unless OMP_NUM_THREADS is set.

    Args:
        threads: their number.
        process: the folder of the process in /proc.
    """
    quota = cpu_quota(process)
    if quota is not None and threads > max(1, quota) and "OMP_NUM_THREADS" not in os.environ:
        warnings.warn(
            f"PyTorch uses {threads} threads, but the CPU quota of this container is {quota:g} CPUs: import prismrec "
            f"before torch, or call torch.set_num_threads({max(1, int(quota))})",
            stacklevel=3,
        )


def cpu_quota(process: Path = _THIS_PROCESS) -> float | None:
    """The number of CPUs that the control groups of a process allow, such as 1.5; None without a limit.

    It is the smallest limit of the group and its parents, in version 2 of control groups (`cpu.max`) and in version 1
    (`cpu.cfs_quota_us` and `cpu.cfs_period_us`).

    Args:
        process: the folder of the process in /proc.
    """
    limits = [limit for folder in _group_folders(process) if (limit := _limit(folder)) is not None]
    return min(limits, default=None)


def _usable_cpus() -> int:
    """The number of CPUs on which this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _group_folders(process: Path) -> Iterator[Path]:
    """The folders of the groups that limit the CPU time of a process, from its own group to the mounted root."""
    groups: dict[str, str] = {}  # path of the group by file system
    with suppress(OSError):  # not Linux
        for line in (process / "cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers or "cpu" in controllers.split(","):
                groups["cgroup" if controllers else "cgroup2"] = path
        for line in (process / "mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            place, _, file_system = line.partition(" - ")
            root, mount = place.split()[3:5]
            kind, *_, options = file_system.split()
            if kind in groups and (kind == "cgroup2" or "cpu" in options.split(",")):
                yield from _with_parents(Path(_unescaped(mount)), _unescaped(root), groups[kind])


def _with_parents(mount: Path, root: str, group: str) -> Iterator[Path]:
    """The folder of a group below a mount that shows the groups below `root`, and its parents up to the mount."""
    inside = group == root or group.startswith(root.rstrip("/") + "/")
    # In a container with its own /sys/fs/cgroup, the path of the group may be that of the host. Then the mount is it.
    names = Path(group).relative_to(root).parts if inside else ()
    for depth in range(len(names), -1, -1):
        yield mount.joinpath(*names[:depth])


def _unescaped(field: str) -> str:
    """A field of mountinfo, where blanks and backslashes are octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _limit(folder: Path) -> float | None:
    """The limit of one group in CPUs; None without one."""
    with suppress(OSError):
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    with suppress(OSError):
        quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii")
        period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
        return None if int(quota) <= 0 else int(quota) / int(period)
    return None
