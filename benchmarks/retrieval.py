"""Lists for many users: users per second and peak memory of prismrec, a bare matrix product, implicit and faiss.

    python benchmarks/retrieval.py speed [--users 2000] [--rounds 5]
    python benchmarks/retrieval.py memory

The matrices are random: 1,000,000 users, 100,000 items, 64 columns, lists of 50. `speed` ranks some of the users with
each method in turn, and prints medians over the rounds. CPU seconds are less noisy than seconds on a shared machine.
`memory` writes a block of lists for each set of filters, as `prismrec recommend --all` does.

implicit and faiss are optional: pip install implicit faiss-cpu.
"""

import argparse
import datetime
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch

from prismrec.experiments.bench import peak_bytes
from prismrec.records import Settings
from prismrec.retrieval import Audience, Filters
from prismrec.runs import Manifest, Run, bulk
from prismrec.types import Embeddings, Interactions, Vocabulary

USERS, ITEMS, WIDTH, K = 1_000_000, 100_000, 64, 50
SEEN = 20
"""Interactions of each user."""
FILTERS = {
    "condition (half of the items)": Filters.of(where="in_stock"),
    "condition, at most 3 of a brand": Filters.of(where="in_stock", at_most={"brand": 3}),
    "condition, 10 new items": Filters.of(where="in_stock", newest=("added", datetime.date(2026, 1, 1), 10)),
    "variety 0.3": Filters.of(diversity=0.3),
}


def make_run(users: int) -> Run:
    """A run of random matrices with an item table."""
    rng = np.random.default_rng(0)
    clicked = rng.integers(ITEMS, size=users * SEEN)
    nothing = Interactions.from_pairs([], [], users, ITEMS)
    day = np.datetime64("2024-01-01") + rng.integers(0, 900, ITEMS).astype("timedelta64[D]")
    table = pl.DataFrame({"in_stock": rng.random(ITEMS) < 0.5, "brand": rng.integers(0, 500, ITEMS), "added": day})
    return Run(
        folder=None,
        manifest=Manifest(
            model="random", config={}, settings=Settings(), data="random", fingerprint="", notes=(), modalities={},
            versions={},
        ),
        embeddings=Embeddings(
            torch.from_numpy(rng.standard_normal((users, WIDTH), dtype=np.float32)),
            torch.from_numpy(rng.standard_normal((ITEMS, WIDTH), dtype=np.float32)),
        ),
        users=Vocabulary(pl.Series(np.arange(users)).cast(pl.String), "user"),
        items=Vocabulary(pl.Series(np.arange(ITEMS)).cast(pl.String), "item"),
        train=Interactions.from_pairs(np.repeat(np.arange(users), SEEN), clicked, users, ITEMS),
        valid=nothing,
        test=nothing,
        catalog=table,
        history=(),
    )  # fmt: skip


def bare_product(users: torch.Tensor, items: torch.Tensor) -> None:
    """A blocked matrix product with PyTorch's top-k, and nothing else."""
    for block in users.split(256):
        (block @ items.T).topk(K)


def methods(run: Run, users: int) -> dict[str, Callable[[], object]]:
    """What ranks the first users, by name; those of libraries that are not installed are left out."""
    rows, items = run.embeddings.users[:users], run.embeddings.items
    audience = Audience.of_users(np.arange(users), ITEMS)
    ranked: dict[str, Callable[[], object]] = {
        "bare product and top-k": lambda: bare_product(rows, items),
        "prismrec, nothing left out": lambda: run.retriever.recommend(audience, K, seen=True),
        "prismrec, seen items left out": lambda: run.retriever.recommend(audience, K),
    }
    for name, filters in FILTERS.items():
        ranked[f"prismrec, {name}"] = lambda filters=filters: run.retriever.recommend(audience, K, filters)
    try:
        from implicit.cpu.topk import topk

        seen = run.train.csr[:users]
        ranked["implicit, nothing left out"] = lambda: topk(items.numpy(), rows.numpy(), K)
        ranked["implicit, seen items left out"] = lambda: topk(items.numpy(), rows.numpy(), K, filter_query_items=seen)
    except ImportError:
        print("implicit is not installed", file=sys.stderr)
    try:
        import faiss

        index = faiss.IndexFlatIP(WIDTH)
        index.add(items.numpy())
        ranked["faiss IndexFlatIP, nothing left out"] = lambda: index.search(rows.numpy(), K)
    except ImportError:
        print("faiss is not installed", file=sys.stderr)
    return ranked


def speed(users: int, rounds: int) -> None:
    """Rank with each method in turn and print medians."""
    ranked = methods(make_run(users), users)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ranked}
    for function in ranked.values():
        function()
    for _ in range(rounds):
        for name, function in ranked.items():
            wall, cpu = time.perf_counter(), time.process_time()
            function()
            seconds[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    print("| method | users per second | users per CPU second | CPU time, bare product = 1 |\n|---|---|---|---|")
    base = statistics.median([cpu for _, cpu in next(iter(seconds.values()))])
    for name, measured in seconds.items():
        wall = statistics.median([each for each, _ in measured])
        cpu = statistics.median([each for _, each in measured])
        print(f"| {name} | {users / wall:,.0f} | {users / cpu:,.0f} | {cpu / base:.2f} |")


def memory() -> None:
    """Write one block of lists for each set of filters and print the peak memory of the process."""
    run = make_run(USERS)
    with tempfile.TemporaryDirectory() as folder:
        for name, filters in {"no filter": Filters(), **FILTERS}.items():
            request = bulk.BulkRequest(k=K, filters=filters)
            bulk.block_table(run, request, 0).write_parquet(Path(folder) / "block.parquet")
            print(f"{name}: peak {(peak_bytes() or 0) / 2**30:.2f} GiB so far", flush=True)


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "memory"])
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.what == "speed":
        speed(options.users, options.rounds)
    else:
        memory()


if __name__ == "__main__":
    main()
