"""Threads sleep beside busy processes, spin on a quiet machine, and compute the same with both."""

import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import torch

from prismrec.experiments.synthetic import random_dataset
from prismrec.models.lgmrec import LGMRec
from prismrec.ops.waiting import MONITOR_NAME, TEAM_NAME, Contention, adaptive_waiting, idle_team, run_delays
from prismrec.records import Settings
from prismrec.training import Callback, EpochEnd, Trained, fit

import plain

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux counts these times")
SPIN = """
import ctypes, os, time, torch
from prismrec.ops.waiting import idle_team

torch.set_num_threads(2)
table = torch.ones(1 << 17)

def print_cpu_seconds():
    start = time.process_time()
    for _ in range(50):
        table.add_(1)  # two threads share the work
        time.sleep(0.005)  # one of them waits for more work
    print(time.process_time() - start)

table.add_(1)  # starts the threads
print_cpu_seconds()
threads = len(os.listdir("/proc/self/task"))
with idle_team(ctypes.CDLL(None)):
    time.sleep(0.2)  # the team starts
    print_cpu_seconds()
while len(os.listdir("/proc/self/task")) > threads:  # the team ends
    time.sleep(0.01)
print_cpu_seconds()
"""
FORK = """
import ctypes, os, torch
from prismrec.models.mf_bpr import MFBPR
from prismrec.ops.waiting import adaptive_waiting, idle_team
from prismrec.records import Settings
from prismrec.testing import toy_interactions
from prismrec.training import fit

torch.set_num_threads(2)
with adaptive_waiting(), idle_team(ctypes.CDLL(None)):
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)  # libgomp cannot use more in the child of a process with OpenMP threads
        fit(MFBPR(toy_interactions(), {}, MFBPR.Config()), toy_interactions(), Settings(epochs=2, device="cpu"))
        os._exit(0)
    _, status = os.waitpid(child, 0)
print(status)
"""


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(count):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(process.kill)
        yield


def thread_names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def number_of_threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def work_until_threads_sleep() -> None:
    deadline = time.monotonic() + 60
    while TEAM_NAME not in thread_names():
        assert time.monotonic() < deadline
        torch.ones(1 << 20).mul_(2)


def train(epochs: int = 2) -> Trained:
    data = random_dataset(600, 400, 6000, {"image": 16})
    features = {name: torch.from_numpy(matrix) for name, matrix in data.features.items()}
    torch.manual_seed(0)
    model = LGMRec(data.train, features, LGMRec.Config(batch_size=1024))
    return fit(model, data.train, Settings(epochs=epochs, device="cpu"))


def test_threads_sleep_beside_busy_processes_and_nothing_is_left_behind() -> None:
    with plain.threads(2):
        torch.ones(1 << 20).mul_(2)
        before = number_of_threads()
        with busy_processes(2 * (os.cpu_count() or 1)), adaptive_waiting():
            work_until_threads_sleep()
            assert number_of_threads() > before + 2  # the monitor, the holder of the team, and the team
        assert not thread_names() & {MONITOR_NAME, TEAM_NAME}
        deadline = time.monotonic() + 60
        while number_of_threads() > before:  # libgomp's threads end soon after
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_contention_starts_with_one_long_delay_and_ends_after_two_quiet_seconds() -> None:
    contention = Contention(now=10.0)
    contention.update(10.1, delay=0.01)
    assert not contention.present
    contention.update(10.2, delay=0.03)
    assert contention.present
    for now in (11.0, 12.1):
        contention.update(now, delay=0.0)
        assert contention.present
    contention.update(12.3, delay=0.0)
    assert not contention.present


def test_a_delay_counts_in_proportion_to_the_time_of_the_measurement() -> None:
    contention = Contention(now=0.0)
    contention.update(1.0, delay=0.1)
    assert not contention.present
    contention.update(1.1, delay=0.1)
    assert contention.present


def test_delays_of_busy_threads_grow_with_the_number_of_busy_processes() -> None:
    """The thread that spins is another one: the thread that measures is left out."""
    ended = threading.Event()

    def spin() -> None:
        while not ended.is_set():
            torch.ones(1 << 20).mul_(2)

    spinner = threading.Thread(target=spin)
    spinner.start()
    try:
        with busy_processes(4 * (os.cpu_count() or 1)):
            before, start = run_delays(), time.monotonic()
            time.sleep(1)
            name = str(spinner.native_id)
            waited = run_delays()[name] - before[name]
            assert 0.2 < waited < time.monotonic() - start + 0.1
    finally:
        ended.set()
        spinner.join()
    assert str(threading.get_native_id()) not in before


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="libgomp never spins with more threads than CPUs")
def test_an_idle_team_stops_the_spinning_of_all_threads_until_it_is_closed() -> None:
    done = subprocess.run([sys.executable, "-c", SPIN], capture_output=True, text=True, check=True)
    before, inside, after = (float(line) for line in done.stdout.split())
    assert inside < before / 2
    assert inside < after / 2


def test_results_are_the_same_bits_with_spinning_and_with_sleeping_threads() -> None:
    with plain.threads(2):
        spinning = train()
        with idle_team(ctypes.CDLL(None)):
            sleeping = train()
    assert torch.equal(spinning.embeddings.users, sleeping.embeddings.users)
    assert torch.equal(spinning.embeddings.items, sleeping.embeddings.items)


def test_training_measures_contention_and_stops_when_it_fails() -> None:
    names: set[str] = set()

    class Failing(Callback):
        def on_epoch(self, epoch: EpochEnd) -> None:
            names.update(thread_names())
            raise FileNotFoundError(f"epoch {epoch.record.epoch}")

    data = random_dataset(60, 40, 300, {"image": 4})
    features = {name: torch.from_numpy(matrix) for name, matrix in data.features.items()}
    model = LGMRec(data.train, features, LGMRec.Config())
    with plain.threads(2), pytest.raises(FileNotFoundError):
        fit(model, data.train, Settings(epochs=2, device="cpu"), callbacks=[Failing()])
    assert MONITOR_NAME in names
    assert MONITOR_NAME not in thread_names()


@pytest.mark.parametrize(("variable", "value"), [("GOMP_SPINCOUNT", "1000"), ("OMP_WAIT_POLICY", "passive")])
def test_the_users_own_choice_of_waiting_wins(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with plain.threads(2), adaptive_waiting():
        assert MONITOR_NAME not in thread_names()


def test_a_single_thread_waits_for_nobody() -> None:
    with plain.threads(1), adaptive_waiting():
        assert MONITOR_NAME not in thread_names()


def test_the_child_of_a_training_process_can_train() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) == 0
