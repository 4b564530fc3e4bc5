"""How the threads of PyTorch wait for each other: they spin on a quiet machine, and sleep beside busy processes.

Between two parallel loops, the threads of GNU's OpenMP runtime (libgomp) spin for some milliseconds before they sleep.
On a quiet machine, spinning is the fastest way to wait. Beside other busy processes, a spinning thread uses up the time
slices that the thread it waits for needs, and training becomes many times slower.

libgomp spins for a much shorter time while it has more threads than CPUs. `adaptive_waiting` measures how long each
thread of this process is ready to run but waits for a CPU. If one of them waits long, it opens a team of idle threads,
which makes libgomp spin less. It closes the team when no thread has waited long for some time. The number of threads
that compute stays the same, and so does every result.

Linux counts these times in /proc/PID/task/TID/schedstat. With other systems and other OpenMP runtimes, and if the user
has set one of libgomp's own variables, `adaptive_waiting` has no effect.
"""

import ctypes
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import torch

MONITOR_NAME = "prismrec-contention"
"""Name of the thread that measures."""
TEAM_NAME = "prismrec-idle-team"
"""Name of the thread that holds the idle team."""
_TASKS = Path("/proc/self/task")
_INTERVAL = 0.1
"""Seconds between two measurements."""
_COST = 0.01
"""The largest share of the time for measurements, which are therefore rarer in a process with hundreds of threads."""
_CONTENDED = 0.2
"""The share of the time that one thread waits for a CPU from which threads should sleep. Beside one busy process, the
share is about a half. On a quiet machine, sleep makes training 1.2 to 1.6 times slower, so it must pay for itself."""
_HOLD = 2.0
"""Seconds without contention after which threads spin again."""


@contextmanager
def adaptive_waiting() -> Iterator[None]:
    """Let the threads of PyTorch sleep while they wait inside the block, as long as other processes need the CPUs."""
    runtime = _spinning_runtime()
    if runtime is None or torch.get_num_threads() == 1:
        yield
        return
    ended = threading.Event()
    monitor = threading.Thread(target=_monitor, args=(runtime, ended), name=MONITOR_NAME, daemon=True)
    monitor.start()
    try:
        yield
    finally:
        ended.set()
        monitor.join()


def _spinning_runtime() -> ctypes.CDLL | None:
    """PyTorch's OpenMP runtime if it is GNU's and the user has not chosen how its threads wait, else None."""
    chosen = "GOMP_SPINCOUNT" in os.environ or "OMP_WAIT_POLICY" in os.environ
    if chosen or not sys.platform.startswith("linux"):
        return None
    symbols = ctypes.CDLL(None)
    # The runtimes of LLVM and Intel have both functions.
    return symbols if hasattr(symbols, "GOMP_parallel") and not hasattr(symbols, "__kmpc_fork_call") else None


def _monitor(runtime: ctypes.CDLL, ended: threading.Event) -> None:
    """Hold an idle team while other processes need the CPUs."""
    interval = _INTERVAL
    start = time.perf_counter()
    before = run_delays()
    if not before:
        return  # this system does not count these times
    contention = Contention(start)
    with ExitStack() as team:
        while not ended.wait(interval):
            now, cpu = time.perf_counter(), time.thread_time()
            delays = run_delays()
            interval = max(_INTERVAL, (time.thread_time() - cpu) / _COST)
            longest = max((delays[task] - before[task] for task in delays.keys() & before.keys()), default=0.0)
            was_present = contention.present
            contention.update(now, longest)
            if contention.present and not was_present:
                team.enter_context(idle_team(runtime))
            elif was_present and not contention.present:
                team.close()
            before = delays


class Contention:
    """Whether other processes need the CPUs of this one.

    Attributes:
        present: the current answer.
    """

    def __init__(self, now: float) -> None:
        """Start without contention at the time `now`, in seconds."""
        self.present = False
        self._measured_at = now
        self._seen_at = now

    def update(self, now: float, delay: float) -> None:
        """Use the seconds that one thread has waited for a CPU since the last call."""
        if delay > _CONTENDED * (now - self._measured_at):
            self.present = True
            self._seen_at = now
        elif now - self._seen_at > _HOLD:
            self.present = False
        self._measured_at = now


def run_delays() -> dict[str, float]:
    """Seconds that each thread has been ready to run but has waited for a CPU, by thread, without the calling one."""
    delays = {}
    with suppress(OSError):  # no such folder: the system has no /proc
        for task in _TASKS.iterdir():
            with suppress(OSError):  # the thread has ended
                _, waited, _ = (task / "schedstat").read_text(encoding="ascii").split()
                delays[task.name] = int(waited) * 1e-9
    delays.pop(str(threading.get_native_id()), None)
    return delays


@contextmanager
def idle_team(runtime: ctypes.CDLL) -> Iterator[None]:
    """Let libgomp have more threads than CPUs inside the block. They belong to a thread of their own, and sleep."""
    ended = threading.Event()
    parallel = runtime.GOMP_parallel
    parallel.argtypes, parallel.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint], None
    free = ctypes.cast(runtime.free, ctypes.c_void_p)  # each thread calls free(NULL), which does nothing
    threads = runtime.omp_get_num_procs() + 1

    def hold() -> None:
        parallel(free, None, threads, 0)
        ended.wait()  # libgomp ends the team when this thread ends

    holder = threading.Thread(target=hold, name=TEAM_NAME, daemon=True)
    holder.start()
    try:
        yield
    finally:
        ended.set()
        holder.join()
