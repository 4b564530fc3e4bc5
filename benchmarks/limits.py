"""The shared operations beside the machine's own copy and matrix product, at the sizes of the data sets.

    python benchmarks/limits.py run --work /tmp/bench [--threads 1 2]
    python benchmarks/limits.py table --work /tmp/bench > benchmarks/limits.json
    python benchmarks/limits.py plot --work /tmp/bench --out docs/limits.svg

Every pair of a data set and a number of threads appends one line to WORK/limits.jsonl, and one that is there already
is not measured again.
"""

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path

import torch
from measured import Command, append, lines, run_command

import prismrec
from prismrec.experiments.limits import measure_limits


def run(args: argparse.Namespace) -> None:
    """Measure whatever is missing."""
    path = args.work / "limits.jsonl"
    known = {(line["data"], line["threads"]) for line in lines(path)}
    for name in args.data:
        for threads in args.threads:
            if (name, threads) in known:
                continue
            torch.set_num_threads(threads)
            measured = measure_limits(prismrec.load(args.work / name))
            result = {"data": name, "threads": threads, "limits": [{**asdict(x), "share": x.share} for x in measured]}
            append(path, result)
            print(json.dumps(result), flush=True)


def table(args: argparse.Namespace) -> None:
    """Print all that has been measured as JSON."""
    print(json.dumps(lines(args.work / "limits.jsonl"), indent=1))


def plot(args: argparse.Namespace) -> None:
    """A bar per operation: its share of the machine's own rate."""
    from matplotlib import pyplot

    measured = lines(args.work / "limits.jsonl")
    if not measured:
        raise SystemExit("nothing is measured yet: limits.py run")
    figure, axes = pyplot.subplots(len(measured), 1, figsize=(8, 2.2 * len(measured)), squeeze=False, sharex=True)
    for line, panel in zip(measured, axes[:, 0], strict=True):
        operations = line["limits"][::-1]
        panel.barh([each["operation"] for each in operations], [each["share"] for each in operations])
        panel.axvline(0.5, color="black", linewidth=0.8)
        panel.set_title(f"{line['data']}, {line['threads']} threads")
    axes[-1, 0].set_xlabel("share of the machine's own copy or matrix product")
    figure.tight_layout()
    figure.savefig(args.out)


def add_options(command: Command, sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--work", type=Path, required=True, help="where data.py put the data; results go there too")
    if command is run:
        sub.add_argument("--data", nargs="*", default=["baby", "clothing"])
        sub.add_argument("--threads", nargs="*", type=int, default=[os.cpu_count()])
    if command is plot:
        sub.add_argument("--out", type=Path, required=True)


if __name__ == "__main__":
    run_command(__doc__, (run, table, plot), add_options)
