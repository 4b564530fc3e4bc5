"""Measure reading and splitting ten million interactions, and building the item graph of a million items.

    python benchmarks/large.py run --work /tmp/bench [--what csv parquet graph] [--threads 2]
    python benchmarks/large.py table --work /tmp/bench

The interactions are random with long tails. `run` writes them once, and another process reads them. The graph has 10
neighbours per item, found among random vectors of 384 numbers in groups of about 50 similar ones. At this size the
search is approximate, and prismrec measures its recall on 500 items. Each measurement appends one line to
WORK/large.jsonl. `run` skips what is in that file.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from measured import Clock, Command, append, lines, markdown, run_command

PAIRS, ITEMS, WIDTH, DUPLICATES, NEIGHBOURS = 10**7, 10**6, 384, 50, 10
KINDS = ("csv", "parquet", "graph")


def run(args: argparse.Namespace) -> None:
    """Measure what WORK/large.jsonl does not have yet, each in its own process."""
    path = args.work / "large.jsonl"
    known = {(line["what"], line["threads"]) for line in lines(path)}
    environment = {name: str(args.threads) for name in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS")}
    for what in args.what:
        if (what, args.threads) in known:
            continue
        if what != "graph":
            write(args.work / f"large-{what}", what)
        command = [sys.executable, __file__, "one", what, "--work", str(args.work), "--threads", str(args.threads)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=os.environ | environment, check=True)
        append(path, json.loads(done.stdout))
        print(done.stdout, end="", flush=True)


def write(folder: Path, kind: str) -> None:
    """Write 10⁷ distinct pairs in random order, unless the folder exists."""
    import numpy as np
    import polars as pl

    from prismrec.experiments.synthetic import random_dataset

    if folder.exists():
        return
    data = random_dataset(PAIRS // 10, PAIRS // 20, PAIRS * 4 // 5, {})
    splits = [data.train, data.valid, data.test]
    users = np.concatenate([split.users for split in splits])
    items = np.concatenate([split.items for split in splits])
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
    """Measure one thing in this process."""
    import torch

    import prismrec
    from prismrec.experiments.bench import peak_bytes
    from prismrec.experiments.synthetic import random_features
    from prismrec.graph import knn_graph

    torch.set_num_threads(args.threads)
    if args.what == "graph":
        features = torch.from_numpy(random_features(ITEMS, {"text": WIDTH}, duplicates=DUPLICATES)["text"])
        clock = Clock()
        found = {"size": ITEMS, "recall": knn_graph(features, NEIGHBOURS).recall}
    else:
        clock = Clock()
        data = prismrec.load(args.work / f"large-{args.what}")
        found = {"size": sum(len(split) for split in (data.train, data.valid, data.test))}
    print(json.dumps({"what": args.what, "threads": args.threads, **clock.read(), "peak_bytes": peak_bytes(), **found}))


def table(args: argparse.Namespace) -> None:
    """Print one row of Markdown per measurement."""
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
    sub.add_argument("--work", type=Path, required=True, help="folder of the data and of the results")
    if command is one:
        sub.add_argument("what", choices=KINDS)
    if command is run:
        sub.add_argument("--what", nargs="*", choices=KINDS, default=KINDS)
    if command is not table:
        sub.add_argument("--threads", type=int, default=os.cpu_count())


if __name__ == "__main__":
    run_command(__doc__, (run, one, table), add_options)
