"""Measure training beside busy processes and under a CPU quota, with threads that always spin and with adaptive ones.

    python benchmarks/busy.py run --work /tmp/bench [--cpus 0 1] [--cases quiet one-busy] [--pairs LightGCN/baby]
    python benchmarks/busy.py table --work /tmp/bench > benchmarks/busy.json

All processes share the given CPUs. The side "spinning" has as many threads as CPUs and the default spin count of
libgomp. GOMP_SPINCOUNT sets it, which switches `prismrec.ops.waiting` off. The side "adaptive" is prismrec as it is.
Under a quota, it also chooses the number of threads. The two sides train in turn, each for some seconds and at least
one epoch.

The case "quota" makes a control group that may use one CPU. It is skipped if this is not permitted.

Each data set, model and case appends one line to WORK/busy.jsonl. `run` skips what is in that file.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from measured import Command, append, lines, run_command
from peer import PAIRS
from sides import Side, median_after_first, ratio, rounded

BUSY_PROCESSES = {"quiet": 0, "one-busy": 1, "eight-busy": 8, "quota": 0}
ROUNDS = {"quiet": 3, "one-busy": 2, "eight-busy": 1, "quota": 2}
"""How often each side trains. Beside eight busy processes, an epoch with spinning threads takes many seconds."""
MEASURED = ("LightGCN/baby", "MF-BPR/baby", "LGMRec/tiktok")
DEFAULT_SPIN_COUNT = "300000"


def run(args: argparse.Namespace) -> None:
    """Measure what WORK/busy.jsonl does not have yet."""
    os.sched_setaffinity(0, args.cpus)  # inherited by all processes that start here
    path = args.work / "busy.jsonl"
    for name in args.pairs:
        model, data = name.split("/")
        known = {line["case"] for line in lines(path) if (line["data"], line["model"]) == (data, model)}
        cases = [case for case in args.cases if case not in known]
        ordinary = [case for case in cases if case != "quota"]
        if ordinary:
            measure(model, data, ordinary, args, path)
        if "quota" in cases:
            with control_group() as group:
                if group is None:
                    print("quota: skipped, because a control group cannot be made here", file=sys.stderr)
                else:
                    measure(model, data, ["quota"], args, path, group)


def measure(
    model: str, data: str, cases: list[str], args: argparse.Namespace, path: Path, group: Path | None = None
) -> None:
    """Append one line per case to WORK/busy.jsonl."""
    pair = next(pair for pair in PAIRS if pair.name == model)
    options = ["--model", pair.ours, "--config", json.dumps(pair.our_hyperparameters), "--data", str(args.work / data)]
    log = args.work / f"{data}-{model}-busy"
    joining = [] if group is None else ["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh"]
    threads = len(args.cpus)
    spinning = Side(
        "side_ours.py", options, threads, Path(f"{log}-spinning.log"), joining, GOMP_SPINCOUNT=DEFAULT_SPIN_COUNT
    )
    adaptive = Side("side_ours.py", options, threads if group is None else None, Path(f"{log}-adaptive.log"), joining)
    sides = [spinning, adaptive]
    for side in sides:
        side.epoch()  # warms up
    for case in cases:
        with busy_processes(BUSY_PROCESSES[case]):
            for side in sides:
                del side.epochs[1:]
            for _ in range(ROUNDS[case]):
                for side in sides:
                    train_for(args.seconds, side)
        result = {
            "data": data,
            "model": model,
            "case": case,
            "threads": {"spinning": spinning.first["threads"], "adaptive": adaptive.first["threads"]},
            "epochs": {"spinning": len(spinning.epochs) - 1, "adaptive": len(adaptive.epochs) - 1},
            "epoch_seconds": compare(
                median_after_first(spinning.epochs, "seconds"), median_after_first(adaptive.epochs, "seconds")
            ),
        }
        append(path, result)
        print(json.dumps(result), flush=True)
    for side in sides:
        side.quit()


def train_for(seconds: float, side: Side) -> None:
    """Train epochs until the time is over, at least one."""
    end = time.perf_counter() + seconds
    side.epoch()
    while time.perf_counter() < end and side.failure is None:
        side.epoch()


def compare(spinning: float | None, adaptive: float | None) -> dict:
    spinning, adaptive = rounded(spinning), rounded(adaptive)
    return {"spinning": spinning, "adaptive": adaptive, "ratio": ratio(adaptive, spinning)}


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Processes that compute without end."""
    with ExitStack() as stack:
        for _ in range(count):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(process.kill)
        yield


@contextmanager
def control_group() -> Iterator[Path | None]:
    """A new control group with a quota of one CPU, of version 1 or 2; None if it cannot be made."""
    version_1 = Path("/sys/fs/cgroup/cpu")
    group = (version_1 if version_1.exists() else version_1.parent) / f"prismrec-busy-{os.getpid()}"
    limits = {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "100000"}
    if not version_1.exists():
        limits = {"cpu.max": "100000 100000"}
    with ExitStack() as stack:
        try:
            group.mkdir()
            stack.callback(group.rmdir)
            for name, limit in limits.items():
                (group / name).write_text(limit)
        except OSError:
            yield None
        else:
            yield group


def table(args: argparse.Namespace) -> None:
    """Print all measurements as JSON."""
    print(json.dumps(lines(args.work / "busy.jsonl"), indent=1))


def add_options(command: Command, sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--work", type=Path, required=True, help="folder of the data (data.py) and of the results")
    if command is run:
        first_two = sorted(os.sched_getaffinity(0))[:2]
        sub.add_argument("--cpus", nargs="*", type=int, default=first_two, help="numbers of the CPUs to use")
        sub.add_argument("--pairs", nargs="*", choices=MEASURED, default=MEASURED, help="MODEL/DATA")
        sub.add_argument("--cases", nargs="*", choices=BUSY_PROCESSES, default=list(BUSY_PROCESSES))
        sub.add_argument("--seconds", type=float, default=2.0, help="time of each side in each round")


if __name__ == "__main__":
    run_command(__doc__, (run, table), add_options)
