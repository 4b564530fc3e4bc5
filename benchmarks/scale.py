"""Measure how time and memory grow with the data, on random data with ten times as many pairs at each step.

    python benchmarks/scale.py run --work /tmp/bench [--pairs 100000 1000000 10000000] [--models LightGCN] [--threads 2]
    python benchmarks/scale.py table --work /tmp/bench
    python benchmarks/scale.py plot --work /tmp/bench --out docs/scaling.svg
    python benchmarks/scale.py whole Spectral 10000000 --threads 1

There are half as many items as users and ten times as many pairs as users. The features have 128 and 64 columns, in
groups of about 50 similar items. A batch is a fiftieth of the pairs, and at least 2,048: with a batch of fixed size,
the time of a model that propagates over the whole graph at each step would grow with the square of the pairs. For the
same reason the contrast of LGMRec draws 4,096 users and items as candidates above 100,000 pairs.

Each model and size runs in its own process and appends one line to WORK/scale.jsonl, with its settings. `run` skips
what is in that file. Each line also holds the time that the machine needs to read a row of 256 bytes at a random place
of a table with as many rows as there are users.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from measured import Clock, Command, append, lines, markdown, run_command

if TYPE_CHECKING:
    from prismrec.types import Interactions

MODELS = ("MF-BPR", "LightGCN", "LATTICE", "LGMRec", "Prism")
SIZES = (10**5, 10**6, 10**7)
WIDTHS = {"image": 128, "text": 64}
EVALUATED = 10_000
"""Users of an evaluation."""
DUPLICATES = 50
LEAST_BATCH, STEPS = 2048, 50
EXACT_CONTRAST_UP_TO, CONTRAST_CANDIDATES = 10**5, 4096
PANELS = (
    ("epoch_cpu_seconds", "processor seconds per epoch"),
    ("evaluation_cpu_seconds", f"processor seconds per evaluation of {EVALUATED:,} users"),
    ("peak_bytes", "peak memory, bytes"),
)


def run(args: argparse.Namespace) -> None:
    """Measure what WORK/scale.jsonl does not have yet, each in its own process."""
    path = args.work / "scale.jsonl"
    known = {(line["model"], line["pairs"], line["threads"]) for line in lines(path)}
    environment = os.environ | {"OMP_NUM_THREADS": str(args.threads)}
    for pairs, model in product(args.pairs, args.models):
        if (model, pairs, args.threads) in known:
            continue
        command = [sys.executable, __file__, "one", model, str(pairs)]
        command += ["--epochs", str(args.epochs), "--threads", str(args.threads)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=False)
        if done.returncode:
            print(f"{model} with {pairs} pairs: exit {done.returncode}", file=sys.stderr, flush=True)
            continue
        append(path, json.loads(done.stdout))
        print(done.stdout, end="", flush=True)


def one(args: argparse.Namespace) -> None:
    """Measure one model at one size in this process."""
    import torch

    from prismrec.experiments.bench import time_model
    from prismrec.experiments.synthetic import random_dataset
    from prismrec.process import request_large_pages, retain_freed_memory

    retain_freed_memory()  # as the command line does
    request_large_pages()
    torch.set_num_threads(args.threads)
    data = random_dataset(args.pairs // 10, args.pairs // 20, args.pairs, WIDTHS, duplicates=DUPLICATES)
    config = config_for(args.model, args.pairs)
    timing = time_model(args.model, data, config, epochs=args.epochs, evaluated=some_users(data.valid))
    settings = {"pairs": args.pairs, "threads": args.threads, "config": config}
    print(json.dumps({**settings, "row_nanoseconds": row_nanoseconds(args.pairs // 10), **asdict(timing)}))


def whole(args: argparse.Namespace) -> None:
    """Train one model at one size by prismrec.train, with all choices on validation and all evaluations."""
    import torch

    import prismrec
    from prismrec.experiments.bench import peak_bytes
    from prismrec.experiments.synthetic import random_dataset

    torch.set_num_threads(args.threads)
    data = random_dataset(args.pairs // 10, args.pairs // 20, args.pairs, WIDTHS, duplicates=DUPLICATES)
    clock = Clock()
    prismrec.train(args.model, data, settings=prismrec.Settings(epochs=args.epochs, device="cpu"))
    print(json.dumps({"model": args.model, "pairs": args.pairs, **clock.read(), "peak_bytes": peak_bytes()}))


def config_for(model: str, pairs: int) -> dict[str, int]:
    """The hyperparameters that depend on the size."""
    config = {"batch_size": max(LEAST_BATCH, pairs // STEPS)}
    if model == "LGMRec" and pairs > EXACT_CONTRAST_UP_TO:
        config["contrast_candidates"] = CONTRAST_CANDIDATES
    return config


def some_users(valid: "Interactions") -> "Interactions":
    """The validation pairs of `EVALUATED` random users."""
    from prismrec.types import Interactions

    users = np.random.default_rng(0).permutation(np.unique(valid.users))[:EVALUATED]
    chosen = np.isin(valid.users, users)
    return Interactions.from_pairs(valid.users[chosen], valid.items[chosen], valid.num_users, valid.num_items)


def row_nanoseconds(rows: int) -> float:
    """The least time per row of five readings of 10⁶ random rows of 64 numbers, in sums of ten rows."""
    import torch
    from torch.nn.functional import embedding_bag

    table = torch.randn(rows, 64)
    read = torch.randint(rows, (10**6,))
    starts = torch.arange(0, 10**6, 10)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        embedding_bag(read, table, starts, mode="sum")
        seconds.append(time.perf_counter() - start)
    return min(seconds) * 1e3


def table(args: argparse.Namespace) -> None:
    """Print one row of Markdown per model and size."""
    columns = ["model", "pairs", "build, s", "epoch, CPU s", "µs per pair", "row read, ns"]
    columns += ["evaluation, CPU s", "memory, GB", "bytes per pair"]
    measured = sorted(lines(args.work / "scale.jsonl"), key=lambda line: (MODELS.index(line["model"]), line["pairs"]))
    rows = [
        [
            line["model"],
            f"{line['pairs']:,}",
            f"{line['build_seconds']:.1f}",
            f"{line['epoch_cpu_seconds']:.1f}",
            f"{line['epoch_cpu_seconds'] / line['pairs'] * 1e6:.1f}",
            f"{line['row_nanoseconds']:.0f}",
            f"{line['evaluation_cpu_seconds']:.1f}",
            f"{line['peak_bytes'] / 1e9:.1f}",
            f"{line['peak_bytes'] / line['pairs']:,.0f}",
        ]
        for line in measured
    ]
    print(markdown(columns, rows))


def plot(args: argparse.Namespace) -> None:
    """Draw one log-log panel per measure and one line per model; a dotted line shows proportional growth."""
    from matplotlib import pyplot

    measured = lines(args.work / "scale.jsonl")
    figure, panels = pyplot.subplots(1, len(PANELS), figsize=(4.5 * len(PANELS), 4))
    sizes = sorted({line["pairs"] for line in measured})
    for (key, title), panel in zip(PANELS, panels, strict=True):
        for model in MODELS:
            points = sorted((line["pairs"], line[key]) for line in measured if line["model"] == model)
            if points:
                panel.loglog([size for size, _ in points], [value for _, value in points], marker="o", label=model)
        lowest = min(line[key] for line in measured)
        panel.loglog(sizes, [lowest * size / sizes[0] for size in sizes], "k:", label="proportional")
        panel.set(xlabel="training pairs", title=title)
    panels[0].legend()
    figure.suptitle(f"batch: pairs / {STEPS}; contrast of LGMRec: {CONTRAST_CANDIDATES:,} candidates above 10⁵ pairs")
    figure.tight_layout()
    figure.savefig(args.out)


def add_options(command: Command, sub: argparse.ArgumentParser) -> None:
    if command not in (one, whole):
        sub.add_argument("--work", type=Path, required=True, help="folder of the results")
    if command in (run, one):
        sub.add_argument("--epochs", type=int, default=3, help="measured epochs, after one to warm up; 0 measures that")
    if command is whole:
        sub.add_argument("--epochs", type=int, default=1, help="largest number of epochs; Spectral has none")
    if command in (run, one, whole):
        sub.add_argument("--threads", type=int, default=os.cpu_count())
    if command is run:
        sub.add_argument("--pairs", nargs="*", type=int, default=SIZES)
        sub.add_argument("--models", nargs="*", choices=MODELS, default=MODELS)
    if command is whole:
        sub.add_argument("model")
        sub.add_argument("pairs", type=int)
    if command is one:
        sub.add_argument("model", choices=MODELS)
        sub.add_argument("pairs", type=int)
    if command is plot:
        sub.add_argument("--out", type=Path, required=True)


if __name__ == "__main__":
    run_command(__doc__, (run, one, table, plot, whole), add_options)
