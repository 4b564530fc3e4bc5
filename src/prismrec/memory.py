"""How much memory this process may still use, and a limit that turns a lack of it into an error."""

import sys
from contextlib import suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_PROC = Path("/proc")


def available_memory() -> int | None:
    """The bytes that this process can still allocate, or None if the system does not tell.

    It is the least of the free memory of the machine (with what the system can free, and swap), of the limits of the
    control groups of the process, as containers have them, and of its resource limits. Only Linux tells.
    """
    if not sys.platform.startswith("linux"):
        return None
    found = [_free_memory(), *_left_in_cgroups(), *_left_of_limits()]
    return max(0, min((bytes_left for bytes_left in found if bytes_left is not None), default=0)) or None


def limit_memory() -> None:
    """Let allocations beyond the available memory fail, so that the process reports the error instead of being killed.

    Without this, Linux grants more memory than there is, and later kills a process. The limit holds until the process
    ends.
    """
    available = available_memory()
    if available is None:
        return
    import resource

    used = _status("VmData")
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    limit = used + available
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _free_memory() -> int | None:
    fields = _fields(_PROC / "meminfo")
    free = fields.get("MemAvailable")
    return None if free is None else free + fields.get("SwapFree", 0)


def _left_in_cgroups() -> list[int]:
    """What each control group of the process, and each above it, leaves."""
    left = []
    with suppress(OSError):
        for line in (_PROC / "self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                left += _left_below(_CGROUPS, path, "memory.max", "memory.current", "inactive_file")
            elif "memory" in controllers.split(","):
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
                left += _left_below(_CGROUPS / "memory", path, *names)
    return left


def _left_below(root: Path, path: str, limit: str, usage: str, cache: str) -> list[int]:
    folder = root / path.lstrip("/")
    if not folder.is_dir():  # a container sees its own group as the root
        folder = root
    left = []
    for group in (folder, *folder.parents):
        if group.is_relative_to(root):
            with suppress(OSError, ValueError):  # the root has no limit, and "max" is no number
                granted = int((group / limit).read_text(encoding="utf-8"))
                used = int((group / usage).read_text(encoding="utf-8"))
                left.append(granted - used + _fields(group / "memory.stat", unit=1).get(cache, 0))
    return left


def _left_of_limits() -> list[int]:
    import resource

    left = []
    for limit, name in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        soft = resource.getrlimit(limit)[0]
        if soft != resource.RLIM_INFINITY:
            left.append(soft - _status(name))
    return left


def _status(name: str) -> int:
    return _fields(_PROC / "self/status").get(name, 0)


def _fields(path: Path, unit: int = 1024) -> dict[str, int]:
    """The numbers of a file whose lines are a name, a number and perhaps a unit."""
    fields = {}
    with suppress(OSError):
        for line in path.read_text(encoding="utf-8").splitlines():
            words = line.replace(":", " ").split()
            if len(words) > 1 and words[1].isdigit():
                fields[words[0]] = int(words[1]) * unit
    return fields
