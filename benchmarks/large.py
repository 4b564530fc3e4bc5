"""Ten million interactions from files to a split data set, and the item graph of a million items.

    python benchmarks/large.py run --work /tmp/bench [--what csv parquet graph] [--threads 2]
    python benchmarks/large.py table --work /tmp/bench

The interactions are made up with long tails, written once and read in a process of its own. The graph is of 10
neighbours among vectors of 384 numbers, those of some 50 items alike; it is sought in cells, and its recall is measured
on 500 items by the library itself. Every line of WORK/large.jsonl is one measurement; what is there already is not
measured again.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from measured import Clock, Command, append, lines, markdown, run_command

PAIRS, ITEMS, WIDTH, ALIKE, NEIGHBOURS = 10**7, 10**6, 384, 50, 10
KINDS = ("csv", "parquet", "graph")


def run(args: argparse.Namespace) -> None:
    """Measure whatever is missing."""
    path = args.work / "large.jsonl"
    known = {(line["what"], line["threads"]) for line in lines(path)}
    for what in args.what:
        if (what, args.threads) in known:
            continue
        if what != "graph":
            write(args.work / f"large-{what}", what)
        words = ["one", what, "--work", str(args.work), "--threads", str(args.threads)]
        threads = {name: str(args.threads) for name in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS")}
        done = subprocess.run(
            [sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True, env=os.environ | threads, check=True
        )
        append(path, json.loads(done.stdout))
        print(done.stdout, end="", flush=True)


def write(folder: Path, kind: str) -> None:
    """10⁷ distinct pairs of ids, in no order."""
    import numpy as np
    import polars as pl

    from prismrec.experiments.synthetic import random_dataset

    if folder.exists():
        return
    data = random_dataset(PAIRS // 10, PAIRS // 20, PAIRS * 4 // 5, {})
    users, items = (
        np.concatenate([getattr(part, side) for part in (data.train, data.valid, data.test)])
        for side in ("users", "items")
    )
    order = np.random.default_rng(0).permutation(len(users))
    table = pl.DataFrame({"user_id": users[order], "item_id": items[order]}).select(
        pl.format("u{}", "user_id").alias("user_id"), pl.format("i{}", "item_id").alias("item_id")
    )
    folder.mkdir(parents=True)
    if kind == "csv":
        table.write_csv(folder / "interactions.csv")
    else:
        table.write_parquet(folder / "interactions.parquet")


def one(args: argparse.Namespace) -> None:
    """Measure one thing, in this process."""
    import torch

    import prismrec
    from prismrec.experiments.bench import peak_bytes
    from prismrec.experiments.synthetic import random_features
    from prismrec.graph import knn_graph

    torch.set_num_threads(args.threads)
    if args.what == "graph":
        features = torch.from_numpy(random_features(ITEMS, {"text": WIDTH}, alike=ALIKE)["text"])
        clock = Clock()
        told = {"size": ITEMS, "recall": knn_graph(features, NEIGHBOURS).recall}
    else:
        clock = Clock()
        data = prismrec.load(args.work / f"large-{args.what}")
        told = {"size": sum(len(part) for part in (data.train, data.valid, data.test))}
    print(json.dumps({"what": args.what, "threads": args.threads, **clock.read(), "peak_bytes": peak_bytes(), **told}))


def table(args: argparse.Namespace) -> None:
    """A row of Markdown per measurement."""
    columns = ["what", "threads", "size", "seconds", "CPU seconds", "memory, GB", "recall"]
    rows = [
        [
            line["what"],
            str(line["threads"]),
            f"{line['size']:,}",
            f"{line['seconds']:.0f}",
            f"{line['cpu_seconds']:.0f}",
            f"{line['peak_bytes'] / 1e9:.1f}",
            f"{line['recall']:.3f}" if "recall" in line else "–",
        ]
        for line in lines(args.work / "large.jsonl")
    ]
    print(markdown(columns, rows))


def add_options(command: Command, sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--work", type=Path, required=True, help="where data and results go")
    if command is one:
        sub.add_argument("what", choices=KINDS)
    if command is run:
        sub.add_argument("--what", nargs="*", choices=KINDS, default=KINDS)
    if command is not table:
        sub.add_argument("--threads", type=int, default=os.cpu_count())


if __name__ == "__main__":
    run_command(__doc__, (run, one, table), add_options)
