"""Measure Prism: its results with no settings, and what each of its terms is worth.

    python benchmarks/prism.py run DATA/tiktok DATA/baby --work /tmp/prism [--only Prism] [--seeds 5]
    python benchmarks/prism.py table --work /tmp/prism
    python benchmarks/prism.py ease DATA/ml1m
    python benchmarks/prism.py times DATA/tiktok

`run` trains every variant on every data set with the seeds 0, 1, …, and writes ordinary run directories. It resumes
interrupted runs and skips finished ones. Every variant chooses its open constants and its epoch on validation. `ease`
prints the results of EASE (Steck, WWW 2019), a dense closed form of interactions alone, with each penalty. `times`
compares the time that Prism and LightGCN take to their best validation score. `prismrec
reproduce all-models` compares Prism with the published models.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import mean, stdev

from measured import Command, markdown, run_command

import prismrec
from prismrec.evaluation import evaluate
from prismrec.process import request_large_pages, retain_freed_memory
from prismrec.records import Settings
from prismrec.training import EpochEnd
from prismrec.types import Embeddings

METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")
LIGHTGCN = {"layers": 2, "initialiser": "xavier", "regulariser_form": "norms"}
PENALTIES = (50, 100, 200, 500, 1000)
VARIANTS: dict[str, tuple[str, dict[str, object]]] = {
    "Prism": ("Prism", {}),
    "trained part alone (w = 0)": ("Prism", {"spectral_weight": 0.0}),
    "users not fitted": ("Prism", {"user_scale": 0.0}),
    "spectral part alone": ("Spectral", {}),
    "spectral part alone, r = 32": ("Spectral", {"rank": 32}),
    "spectral part alone, r = 64": ("Spectral", {"rank": 64}),
    "spectral part alone, r = 128": ("Spectral", {"rank": 128}),
    "spectral part alone, r = 256": ("Spectral", {"rank": 256}),
    "no content (b = c = 0)": ("Prism", {"content_weight": 0.0, "explained_weight": 0.0}),
    "no content graph (b = 0)": ("Prism", {"content_weight": 0.0}),
    "no regression on features (c = 0)": ("Prism", {"explained_weight": 0.0}),
    "no added degree (t = 0)": ("Prism", {"added_degree": 0.0}),
    "ideal filter (h = 0)": ("Prism", {"exponent": 0.0}),
    "no hidden ID rows": ("Prism", {"id_dropout": 0.0}),
    "random start": ("Prism", {"initialiser": "xavier"}),
    "no propagation (L = 0)": ("Prism", {"layers": 0}),
    "τ = 0.2": ("Prism", {"temperature": 0.2}),
    "τ = 0.4": ("Prism", {"temperature": 0.4}),
}


def run(args: argparse.Namespace) -> None:
    """Train what has not been trained yet."""
    retain_freed_memory()  # as the command line does
    request_large_pages()
    for source in args.sources:
        dataset = prismrec.load(source)
        for variant in args.only or VARIANTS:
            model, settings = VARIANTS[variant]
            for seed in range(args.seeds):
                folder = args.work / dataset.name / variant / f"seed{seed}"
                if not (folder / "metrics.json").exists():
                    print(f"{dataset.name}, {variant}, seed {seed}", file=sys.stderr, flush=True)
                    folder.parent.mkdir(parents=True, exist_ok=True)
                    prismrec.train(model, dataset, settings, Settings(seed=seed), out=folder, resume=True)


def table(args: argparse.Namespace) -> None:
    """Print the mean and the deviation over the seeds of each variant, as Markdown."""
    for data in sorted(path for path in args.work.iterdir() if path.is_dir()):
        columns = ["variant", "valid recall@20", *METRICS, "seeds", "epochs", "s/epoch", "chosen with seed 0"]
        rows = [row(data / name) for name in VARIANTS if any((data / name).glob("seed*/metrics.json"))]
        print(f"## {data.name}\n\n{markdown(columns, rows)}\n")


def row(folder: Path) -> list[str]:
    """One line of the table."""
    runs = [json.loads(path.read_text()) for path in sorted(folder.glob("seed*/metrics.json"))]
    chosen = ", ".join(f"{name} = {value:.2g}" for name, value in runs[0]["chosen"].items())
    epochs = ", ".join(str(each["best_epoch"]) for each in runs)
    seconds = mean(each["seconds_per_epoch"] for each in runs)
    scores = [spread([each["test"][metric] for each in runs]) for metric in METRICS]
    valid = spread([each["valid"]["recall@20"] for each in runs])
    return [folder.name, valid, *scores, str(len(runs)), epochs, f"{seconds:.2f}", chosen]


def spread(values: list[float]) -> str:
    """Mean ± sample standard deviation."""
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


def ease(args: argparse.Namespace) -> None:
    """Solve EASE with each penalty."""
    import torch

    rows = []
    for source in args.sources:
        data = prismrec.load(source)
        clicks = torch.from_numpy(data.train.csr.toarray()).float()  # R [U, I]
        for penalty in PENALTIES:
            inverse = torch.linalg.inv(clicks.T @ clicks + penalty * torch.eye(data.train.num_items))
            weights = -inverse / inverse.diagonal()
            model = Embeddings(clicks, weights.fill_diagonal_(0).T.contiguous())
            valid, test = (evaluate(model, truth, mask=[data.train], cutoffs=[20]) for truth in (data.valid, data.test))
            scores = [valid["recall@20"], test["recall@20"], test["ndcg@20"]]
            rows.append([data.name, str(penalty), *[f"{score:.4f}" for score in scores]])
    print(markdown(["data", "penalty", "valid recall@20", "test recall@20", "test ndcg@20"], rows))


def times(args: argparse.Namespace) -> None:
    """Print when LightGCN, with the settings of docs/results.md, and Prism reach their best validation scores."""
    rows = []
    for source in args.sources:
        data = prismrec.load(source)
        for seed in range(args.seeds):
            for model, settings in (("LightGCN", LIGHTGCN), ("Prism", {})):
                clock = Progress()
                history = prismrec.train(model, data, settings, Settings(seed=seed), callbacks=[clock]).history
                scores = [record.valid["recall@20"] for record in history]
                best = scores.index(max(scores))
                seconds = [f"{clock.seconds[epoch]:.1f}" for epoch in (0, best, -1)]
                rows.append([data.name, model, str(seed), f"{scores[0]:.4f}", f"{scores[best]:.4f}", *seconds])
    columns = ["data", "model", "seed", "valid recall@20 of epoch 1", "of the best epoch"]
    print(markdown([*columns, "s to epoch 1", "s to the best", "s in all"], rows))


class Progress(prismrec.Callback):
    """The seconds from the start to the end of each epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._start = time.perf_counter()

    def on_epoch(self, _epoch: EpochEnd) -> None:
        """Note the time."""
        self.seconds.append(time.perf_counter() - self._start)


def add_options(command: Command, sub: argparse.ArgumentParser) -> None:
    if command is not table:
        sub.add_argument("sources", type=Path, nargs="+", help="data sets")
    if command in (run, table):
        sub.add_argument("--work", type=Path, required=True, help="folder of the runs")
    if command is run:
        sub.add_argument("--only", nargs="*", choices=VARIANTS, help="variants")
    if command in (run, times):
        sub.add_argument("--seeds", type=int, default=5, help="number of seeds")


if __name__ == "__main__":
    run_command(__doc__, (run, table, ease, times), add_options)
