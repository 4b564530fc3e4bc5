"""Measure how well a run serves users and items that were not in its training data.

    python benchmarks/newcomers.py users --data ../shared/data --work /tmp/newcomers [--only tiktok/BM3] [--seeds 3]
    python benchmarks/newcomers.py items --data ../shared/data --work /tmp/newcomers [--only shop/LGMRec]
    python benchmarks/newcomers.py table --work /tmp/newcomers > benchmarks/newcomers.json
    python benchmarks/newcomers.py page

`users` leaves a random fifth of the users out of training and validation. It trains with and without them, embeds them
from their training items, and compares the recall on their test items. `items` uses the split `cold-items`. Half of the
test clicks on new items serve to train them for comparison, and the other half is the truth for all. It also takes
ml1m/MODEL if `--data` contains ml1m with the features of `prismrec features`. Both write ordinary run directories and
one JSON line per measurement, and skip what is there. Hyperparameters are those of results.json, and so is the number
of epochs of `items`, which has no validation split. `--epochs` limits the epochs.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median, median_low
from typing import Any

import numpy as np
import torch
from measured import Command, append, lines, markdown, run_command

import prismrec
from prismrec.data import Dataset, SplitSpec
from prismrec.demo import write_shop
from prismrec.evaluation import evaluate
from prismrec.retrieval.item_map import FeatureSpace, Nearest
from prismrec.retrieval.newcomers import ridge_regressions
from prismrec.runs import Run
from prismrec.runs.newcomers import choose_newcomers
from prismrec.types import Embeddings, Interactions, Vocabulary

BASELINES = ("mean of 10 nearest", "ridge")
HERE = Path(__file__).parent
TUNED = {f"{row['data']}/{row['model']}": row for row in json.loads((HERE / "results.json").read_text())}
USERS = [name for name in TUNED if not name.endswith("most-popular")]
MULTIMODAL = ("VBPR", "ACF", "MMGCN", "GRCN", "MMGCL", "SLMRec", "LATTICE", "MICRO", "BM3", "LUDP", "LGMRec")
ITEMS = [f"{data}/{model}" for data in ("shop", "tiktok") for model in MULTIMODAL]
BATCHES: dict[str, dict[str, object]] = {"shop": {"batch_size": 512}, "ml1m": {"batch_size": 16384}}
"""Hyperparameters for data without tuned ones, by the size of the data."""


def users(args: argparse.Namespace) -> None:
    """Measure new users."""
    for name in args.only or USERS:
        data, model = name.split("/")
        dataset = prismrec.load(args.data / data)
        for seed in range(args.seeds):
            left_out = draw_users(dataset, seed)
            folder = args.work / "users" / name / f"seed{seed}"
            config = tuned(name)
            limit = args.epochs or 1000
            trained = train(model, dataset, config, seed, folder / "trained", limit)
            without = train(model, remove_users(dataset, left_out), config, seed, folder / "without", limit)
            key = {"data": data, "model": model, "seed": seed}
            record(args.work / "users.jsonl", key, partial(compare_users, trained, without, dataset, left_out))


def draw_users(dataset: Dataset, seed: int) -> np.ndarray:
    """A random fifth of the users that have training items."""
    known = np.flatnonzero(dataset.train.user_degrees > 0)
    return np.sort(np.random.default_rng(1000 + seed).permutation(known)[: len(dataset.users) // 5])


def remove_users(dataset: Dataset, left_out: np.ndarray) -> Dataset:
    kept = np.setdiff1d(np.arange(len(dataset.users)), left_out)
    return replace(
        dataset,
        train=dataset.train.of_users(kept),
        valid=dataset.valid.of_users(kept),
        test=dataset.test.of_users(kept),
        users=Vocabulary(dataset.users.ids.gather(kept), "user"),
    )


def compare_users(trained: Run, without: Run, dataset: Dataset, left_out: np.ndarray) -> dict[str, object]:
    histories = dataset.train.of_users(left_out)
    truth = dataset.test.of_users(left_out)
    newcomers = choose_newcomers(without.embeddings, without.train, without.valid, {})
    folded = Embeddings(newcomers.embed_users(histories), without.embeddings.items)
    normal = Embeddings(trained.embeddings.users[torch.from_numpy(left_out)], trained.embeddings.items)
    values = np.stack([recalls(normal, truth, histories), recalls(folded, truth, histories)])  # [2, users]
    one = histories.of_users(np.array([0]))
    thousand = histories.of_users(np.arange(min(1000, len(left_out))))
    own = newcomers.embed_users(without.train)
    return {
        "users": values.shape[1],
        "trained": values[0].mean(),
        "folded": values[1].mean(),
        "covariance": np.cov(values).tolist(),
        "epochs": [len(trained.history), len(without.history)],
        "known users, trained": recall(without.embeddings, without.test, without.train),
        "known users, folded": recall(Embeddings(own, without.embeddings.items), without.test, without.train),
        "settings": str(newcomers.user_map.settings),
        "ms alone": milliseconds(lambda: newcomers.embed_users(one)),
        "ms per user of 1000": milliseconds(lambda: newcomers.embed_users(thousand)) / thousand.num_users,
    }


def items(args: argparse.Namespace) -> None:
    """Measure new items."""
    for name in args.only or ITEMS:
        data, model = name.split("/")
        if data == "shop" and not (args.work / "shop").exists():
            write_shop(args.work / "shop")
        source = args.work / "shop" if data == "shop" else args.data / data
        dataset = prismrec.load(source, split=SplitSpec(by="cold-items"))
        cold, warm = cold_and_warm(dataset)
        config = BATCHES.get(data) or tuned(name)
        folder = args.work / "items" / name
        limit = args.epochs or best_epoch(name)
        new = train(model, cold, config, 0, folder / "cold", limit)
        trained = train(model, warm, config, 0, folder / "warm", limit)
        key = {"data": data, "model": model}
        record(args.work / "items.jsonl", key, partial(compare_items, new, trained, cold))


def cold_and_warm(dataset: Dataset) -> tuple[Dataset, Dataset]:
    """The data without any click on a test item, and with half of their clicks in training; both test on the rest."""
    test = dataset.test
    is_trained = np.random.default_rng(5).random(len(test)) < 0.5
    size = test.num_users, test.num_items
    truth = Interactions.from_pairs(test.users[~is_trained], test.items[~is_trained], *size)
    nothing = Interactions.from_pairs([], [], *size)
    cold = replace(dataset, valid=nothing, test=truth)
    users = np.concatenate([dataset.train.users, test.users[is_trained]])
    numbers = np.concatenate([dataset.train.items, test.items[is_trained]])
    return cold, replace(cold, train=Interactions.from_pairs(users, numbers, *size))


def compare_items(cold: Run, warm: Run, dataset: Dataset) -> dict[str, object]:
    known = np.flatnonzero(cold.train.item_degrees > 0)
    new = np.setdiff1d(np.unique(cold.test.items), known)
    features = {name: torch.from_numpy(np.array(rows)) for name, rows in dataset.features.items()}
    of_known = {name: rows[torch.from_numpy(known)] for name, rows in features.items()}
    of_new = {name: rows[torch.from_numpy(new)] for name, rows in features.items()}
    space = FeatureSpace.of(of_known)
    vectors = cold.embeddings.items[torch.from_numpy(known)]
    mean = vectors.mean(0)
    (weight,) = ridge_regressions(space(of_known), vectors - mean, [0.1])
    nearest = Nearest(torch.nn.functional.normalize(space(of_known)), vectors, 10)
    newcomers = choose_newcomers(cold.embeddings, cold.train, cold.valid, features)
    answers = {
        "ours": newcomers.embed_items(of_new),
        "mean of 10 nearest": nearest(space(of_new)),
        "ridge": space(of_new) @ weight + mean,
        "the model itself": cold.embeddings.items[torch.from_numpy(new)],
        "trained": warm.embeddings.items[torch.from_numpy(new)],
    }
    found: dict[str, object] = {"items": len(new), "map": type(newcomers.item_map.predictor).__name__}
    among_new = {}
    for name, rows in answers.items():
        run = warm if name == "trained" else cold
        everything = run.embeddings.items.clone()
        everything[torch.from_numpy(new)] = rows
        among = Embeddings(run.embeddings.users, rows)
        among_new[name] = recalls(among, renumbered(cold.test, new))  # [users]
        found[f"{name}, among new"] = float(among_new[name].mean())
        found[f"{name}, all"] = recall(Embeddings(run.embeddings.users, everything), cold.test, cold.train)
    for name in BASELINES:
        difference = among_new["ours"] - among_new[name]
        found[f"standard error of the difference to {name}"] = float(difference.std(ddof=1) / len(difference) ** 0.5)
    return found


def renumbered(pairs: Interactions, items: np.ndarray) -> Interactions:
    """The pairs with the given items, which become the items 0..n-1."""
    kept = np.isin(pairs.items, items)
    return Interactions.from_pairs(
        pairs.users[kept], np.searchsorted(items, pairs.items[kept]), pairs.num_users, len(items)
    )


def tuned(name: str) -> dict[str, object]:
    settings = TUNED[name]["settings"] if name in TUNED else "defaults"
    return {} if settings == "defaults" else dict(word.split("=") for word in settings.split(","))


def best_epoch(name: str) -> int:
    """The best epoch of the runs in results.json with validation; 30 for data sets that are not there."""
    return median_low(TUNED[name]["best_epochs"]) if name in TUNED else 30


def train(model: str, dataset: Dataset, config: dict[str, object], seed: int, out: Path, epochs: int) -> Run:
    """Train, or load what is trained. Without validation interactions, all epochs are trained."""
    settings = prismrec.Settings(seed=seed, epochs=epochs)
    if (out / "metrics.json").exists():
        return Run.load(out)
    print(f"{out} ...", flush=True)
    return prismrec.train(model, dataset, config, settings, out=out, resume=True)


def recall(embeddings: Embeddings, truth: Interactions, seen: Interactions | None = None) -> float:
    return float(recalls(embeddings, truth, seen).mean())


def recalls(embeddings: Embeddings, truth: Interactions, seen: Interactions | None = None) -> np.ndarray:
    """recall@20 of each user with a ground truth."""
    mask = [] if seen is None else [seen]
    return evaluate(embeddings, truth, mask=mask, metrics=["recall"], cutoffs=[20]).per_user["recall@20"]


def ratio_error(rows: list[dict[str, Any]]) -> float:
    """The standard error of Σ folded / Σ trained over the users of all rows, by the delta method."""
    users = np.array([row["users"] for row in rows])
    trained = users @ np.array([row["trained"] for row in rows])
    folded = users @ np.array([row["folded"] for row in rows])
    covariance = np.einsum("n,nij->ij", users, np.array([row["covariance"] for row in rows]))
    slope = np.array([-folded / trained, 1.0])
    return float(np.sqrt(slope @ covariance @ slope) / trained)


def milliseconds(call: Callable[[], object]) -> float:
    """Median of 20 calls on one thread."""
    torch.set_num_threads(1)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return median(times)


def record(path: Path, key: dict[str, object], measure: Callable[[], dict[str, object]]) -> None:
    """Measure and write down what has not been measured yet."""
    if not any(key.items() <= row.items() for row in lines(path)):
        row = {**key, **measure()}
        print(json.dumps(row), flush=True)
        append(path, row)


def table(args: argparse.Namespace) -> None:
    """Print all measurements as JSON."""
    rows = {"users": lines(args.work / "users.jsonl"), "items": lines(args.work / "items.jsonl")}
    print(json.dumps(rows, indent=1))


def page(_: argparse.Namespace) -> None:
    """Print the tables of docs/newcomers.md."""
    measured = json.loads((HERE / "newcomers.json").read_text())
    cells_of = []
    for name in dict.fromkeys(f"{row['data']}/{row['model']}" for row in measured["users"]):
        rows = [row for row in measured["users"] if f"{row['data']}/{row['model']}" == name]
        trained = np.mean([row["trained"] for row in rows])
        folded = np.mean([row["folded"] for row in rows])
        alone = median(row["ms alone"] for row in rows)
        batch = median(row["ms per user of 1000"] for row in rows)
        known = np.mean([row["known users, folded"] for row in rows]) / np.mean(
            [row["known users, trained"] for row in rows]
        )
        error = f" ± {100 * ratio_error(rows):.0f}" if "covariance" in rows[0] else ""  # earlier rows lack it
        cells = [f"{trained:.4f}", f"{folded:.4f}", f"{100 * folded / trained:.0f}{error} %", f"{100 * known:.0f} %"]
        patience = str(rows[0].get("patience", "auto"))
        cells_of.append([name, str(len(rows)), patience, *cells, f"{1000 * alone:.0f}", f"{1000 * batch:.2f}"])
    head = ["model", "seeds", "patience", "trained", "embedded", "ratio", "known users", "µs alone", "µs in a batch"]
    print(markdown(head, cells_of), "\n")
    kinds = ("ours", *BASELINES, "the model itself", "trained")
    head = ["model", *[f"{kind}: among new / all" for kind in kinds], "ours - better baseline, among new"]
    cells_of = []
    for row in measured["items"]:
        cells = [f"{row[f'{kind}, among new']:.3f} / {row[f'{kind}, all']:.3f}" for kind in kinds]
        better = max(BASELINES, key=lambda name: row[f"{name}, among new"])
        difference = row["ours, among new"] - row[f"{better}, among new"]
        error = row[f"standard error of the difference to {better}"]
        cells_of.append([f"{row['data']}/{row['model']}", *cells, f"{difference:+.3f} ± {error:.3f}"])
    print(markdown(head, cells_of))


def add_options(command: Command, parser: argparse.ArgumentParser) -> None:
    if command is page:
        return
    parser.add_argument("--work", type=Path, required=True)
    if command is not table:
        parser.add_argument("--data", type=Path, required=True)
        parser.add_argument("--only", nargs="+", help="as in tiktok/BM3 or shop/BM3")
        parser.add_argument("--epochs", type=int, help="the largest number of epochs")
    if command is users:
        parser.add_argument("--seeds", type=int, default=1)


if __name__ == "__main__":
    run_command(__doc__, (users, items, table, page), add_options)
