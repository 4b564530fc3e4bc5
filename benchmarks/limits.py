"""Compare the shared operations with the machine's memory copy and matrix product, at the sizes of the data sets.

    python benchmarks/limits.py run --work /tmp/bench [--threads 1 2]
    python benchmarks/limits.py table --work /tmp/bench > benchmarks/limits.json
    python benchmarks/limits.py plot --out docs/limits.svg

Each data set and number of threads appends one line to WORK/limits.jsonl. `run` skips what is in that file.
"""

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path

from measured import Command, append, lines, run_command

HERE = Path(__file__).parent


def run(args: argparse.Namespace) -> None:
    """Measure what WORK/limits.jsonl does not have yet."""
    import torch

    import prismrec
    from prismrec.experiments.limits import measure_limits

    path = args.work / "limits.jsonl"
    known = {(line["data"], line["threads"]) for line in lines(path)}
    for name in args.data:
        for threads in args.threads:
            if (name, threads) in known:
                continue
            torch.set_num_threads(threads)
            measured = measure_limits(prismrec.load(args.work / name))
            limits = [{**asdict(limit), "share": limit.share} for limit in measured]
            result = {"data": name, "threads": threads, "limits": limits}
            append(path, result)
            print(json.dumps(result), flush=True)


def table(args: argparse.Namespace) -> None:
    """Print all measurements as JSON."""
    print(json.dumps(lines(args.work / "limits.jsonl"), indent=1))


def plot(args: argparse.Namespace) -> None:
    """Draw one bar per operation: its rate relative to that of the machine."""
    from matplotlib import pyplot

    measured = json.loads((HERE / "limits.json").read_text())
    figure, axes = pyplot.subplots(len(measured), 1, figsize=(8, 2.2 * len(measured)), squeeze=False, sharex=True)
    for line, panel in zip(measured, axes[:, 0], strict=True):
        operations = line["limits"][::-1]
        panel.barh([each["operation"] for each in operations], [each["share"] for each in operations])
        panel.axvline(0.5, color="black", linewidth=0.8)
        panel.set_title(f"{line['data']}, {line['threads']} threads")
    axes[-1, 0].set_xlabel("rate relative to the machine's memory copy or matrix product")
    figure.tight_layout()
    figure.savefig(args.out)


def add_options(command: Command, sub: argparse.ArgumentParser) -> None:
    if command is plot:
        sub.add_argument("--out", type=Path, required=True)
    else:
        sub.add_argument("--work", type=Path, required=True, help="folder of the data (data.py) and of the results")
    if command is run:
        sub.add_argument("--data", nargs="*", default=["baby", "clothing"])
        sub.add_argument("--threads", nargs="*", type=int, default=[os.cpu_count()])


if __name__ == "__main__":
    run_command(__doc__, (run, table, plot), add_options)
