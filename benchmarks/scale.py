"""How time and memory grow with the data: made-up power-law data, ten times as many pairs at each step.

    python benchmarks/scale.py run --work /tmp/bench [--pairs 100000 1000000 10000000] [--models LightGCN] [--threads 2]
    python benchmarks/scale.py table --work /tmp/bench
    python benchmarks/scale.py plot --work /tmp/bench --out docs/scaling.svg

Users, items and pairs are as 1 : 0.5 : 10; the features are 128 + 64 wide, those of some 50 items alike. With a fixed
batch a model that propagates over the whole graph at every step takes time in proportion to the square of the pairs; so
the batch is a fiftieth of the pairs, an epoch 50 steps, yet never fewer pairs than 2,048. LGMRec's contrast compares a
batch with all users and all items, again a square: above 100,000 pairs 4,096 of each stand for all.

Every model at every size is a process of its own and appends one line to WORK/scale.jsonl, its settings among the
figures; one that is there already is not measured again. Beside them stands what the machine itself needs to read rows
of 256 bytes at random places of a table as large as the users', which grows with the data as well.
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

import numpy as np
from measured import Command, append, lines, markdown, run_command

MODELS = ("MF-BPR", "LightGCN", "LATTICE", "LGMRec")
SIZES = (10**5, 10**6, 10**7)
WIDTHS = {"image": 128, "text": 64}
EVALUATED = 10_000
"""Users of an evaluation."""
ALIKE = 50
LEAST_BATCH, STEPS = 2048, 50
EXACT_CONTRAST_UP_TO, CONTRAST_CANDIDATES = 10**5, 4096
FIGURES = (
    ("epoch_cpu_seconds", "processor seconds per epoch"),
    ("evaluation_cpu_seconds", f"processor seconds per evaluation of {EVALUATED:,} users"),
    ("peak_bytes", "peak memory, bytes"),
)


def run(args: argparse.Namespace) -> None:
    """Measure whatever is missing."""
    path = args.work / "scale.jsonl"
    known = {(line["model"], line["pairs"], line["threads"]) for line in lines(path)}
    for pairs, model in product(args.pairs, args.models):
        if (model, pairs, args.threads) in known:
            continue
        words = ["one", model, str(pairs), "--epochs", str(args.epochs), "--threads", str(args.threads)]
        environment = os.environ | {"OMP_NUM_THREADS": str(args.threads)}
        done = subprocess.run(
            [sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True, env=environment, check=False
        )
        if done.returncode:
            print(f"{model} with {pairs} pairs: exit {done.returncode}", file=sys.stderr, flush=True)
            continue
        append(path, json.loads(done.stdout))
        print(done.stdout, end="", flush=True)


def settings(model: str, pairs: int) -> dict[str, int]:
    """What a model is told that depends on the size."""
    chosen = {"batch_size": max(LEAST_BATCH, pairs // STEPS)}
    if model == "LGMRec" and pairs > EXACT_CONTRAST_UP_TO:
        chosen["contrast_candidates"] = CONTRAST_CANDIDATES
    return chosen


def one(args: argparse.Namespace) -> None:
    """Measure one model at one size, in this process."""
    import torch

    from prismrec.experiments.bench import time_model
    from prismrec.experiments.synthetic import random_dataset
    from prismrec.training import ask_for_large_pages
    from prismrec.types import Interactions

    ask_for_large_pages()  # as the command line does
    torch.set_num_threads(args.threads)
    data = random_dataset(args.pairs // 10, args.pairs // 20, args.pairs, WIDTHS, alike=ALIKE)
    users = np.random.default_rng(0).permutation(np.unique(data.valid.users))[:EVALUATED]
    chosen = np.isin(data.valid.users, users)
    sizes = (data.valid.num_users, data.valid.num_items)
    some = Interactions.from_pairs(data.valid.users[chosen], data.valid.items[chosen], *sizes)
    chosen = settings(args.model, args.pairs)
    timing = time_model(args.model, data, chosen, epochs=args.epochs, evaluated=some)
    row = row_nanoseconds(args.pairs // 10)
    told = {"pairs": args.pairs, "threads": args.threads, "config": chosen, "row_nanoseconds": row}
    print(json.dumps({**told, **asdict(timing)}))


def row_nanoseconds(rows: int) -> float:
    """The fastest of some readings of 10⁶ random rows of 64 numbers, added up ten by ten."""
    import torch
    from torch.nn.functional import embedding_bag

    table, read, ends = torch.randn(rows, 64), torch.randint(rows, (10**6,)), torch.arange(0, 10**6, 10)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        embedding_bag(read, table, ends, mode="sum")
        seconds.append(time.perf_counter() - start)
    return min(seconds) * 1e3


def table(args: argparse.Namespace) -> None:
    """A row of Markdown per model and size."""
    columns = ["model", "pairs", "build, s", "epoch, CPU s", "µs per pair", "a row of the machine's, ns"]
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
    """Log-log, a panel per figure, a line per model, with the slope of growth in proportion beside them."""
    from matplotlib import pyplot

    measured = lines(args.work / "scale.jsonl")
    figure, panels = pyplot.subplots(1, len(FIGURES), figsize=(4.5 * len(FIGURES), 4))
    for (key, title), panel in zip(FIGURES, panels, strict=True):
        for model in MODELS:
            points = sorted((line["pairs"], line[key]) for line in measured if line["model"] == model)
            if points:
                panel.loglog(*zip(*points, strict=True), marker="o", label=model)
        lowest = min(line[key] for line in measured)
        sizes = sorted({line["pairs"] for line in measured})
        panel.loglog(sizes, [lowest * size / sizes[0] for size in sizes], "k:", label="in proportion")
        panel.set(xlabel="training pairs", title=title)
    panels[0].legend()
    figure.suptitle(f"batch: a fiftieth of the pairs; contrast of LGMRec: {CONTRAST_CANDIDATES:,} candidates above 10⁵")
    figure.tight_layout()
    figure.savefig(args.out)


def add_options(command: Command, sub: argparse.ArgumentParser) -> None:
    if command is not one:
        sub.add_argument("--work", type=Path, required=True, help="where the results go")
    if command in (run, one):
        sub.add_argument("--epochs", type=int, default=3, help="after one to warm up; 0 measures that one")
        sub.add_argument("--threads", type=int, default=os.cpu_count())
    if command is run:
        sub.add_argument("--pairs", nargs="*", type=int, default=SIZES)
        sub.add_argument("--models", nargs="*", choices=MODELS, default=MODELS)
    if command is one:
        sub.add_argument("model", choices=MODELS)
        sub.add_argument("pairs", type=int)
    if command is plot:
        sub.add_argument("--out", type=Path, required=True)


if __name__ == "__main__":
    run_command(__doc__, (run, one, table, plot), add_options)
