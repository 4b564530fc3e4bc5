"""Measure Prism: its results with no settings, and what each of its terms is worth.

    python benchmarks/prism.py run DATA/tiktok DATA/baby --work /tmp/prism [--only Prism] [--seeds 5]
    python benchmarks/prism.py table --work /tmp/prism
    python benchmarks/prism.py test --work /tmp/prism --against /tmp/results/tiktok

`run` trains every variant on every data set with the seeds 0, 1, …, and writes ordinary run directories. It resumes
interrupted runs and skips finished ones. Every variant chooses its open constants and its epoch on validation. `test`
compares Prism with every model below a folder of runs, user by user: one-sided paired t-tests of the
means over seeds, corrected by Holm's method.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from measured import Command, markdown, run_command

import prismrec
from prismrec.evaluation import compare, holm
from prismrec.process import request_large_pages, retain_freed_memory
from prismrec.records import Settings

METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")
VARIANTS: dict[str, tuple[str, dict[str, object]]] = {
    "Prism": ("Prism", {}),
    "trained part alone (w = 0)": ("Prism", {"spectral_weight": 0.0}),
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


def test(args: argparse.Namespace) -> None:
    """Compare Prism with the models below a folder, user by user."""
    best = {model.name: best_configuration(model) for model in sorted(args.against.iterdir()) if model.is_dir()}
    for metric in ("recall@20", "ndcg@20"):
        ours = per_user(args.work / args.against.name / "Prism", metric)
        compared = {name: compare(ours, per_user(folder, metric)) for name, folder in best.items()}
        corrected = holm([each.t_p for each in compared.values()])
        rows = [
            [name, f"{each.difference:+.4f}", f"{each.t_p:.1e}", f"{p:.1e}"]
            for (name, each), p in zip(compared.items(), corrected, strict=True)
        ]
        print(f"{metric}\n\n{markdown(['model', 'Prism minus model', 'p', 'p, Holm'], rows)}\n")


def best_configuration(model: Path) -> Path:
    """The folder of the configuration whose first seed is best on validation."""
    finished = [path.parent.parent for path in model.glob("*/seed0/metrics.json")]
    return max(finished, key=lambda path: json.loads((path / "seed0/metrics.json").read_text())["valid"]["recall@20"])


def per_user(folder: Path, metric: str) -> np.ndarray:
    """The metric of each test user, as the mean over the seeds."""
    runs = [prismrec.Run.load(path.parent) for path in sorted(folder.glob("seed*/metrics.json"))]
    return np.mean([each.evaluate("test", cutoffs=[20]).per_user[metric] for each in runs], axis=0)


def add_options(command: Command, sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--work", type=Path, required=True, help="folder of the runs")
    if command is run:
        sub.add_argument("sources", type=Path, nargs="+", help="data sets")
        sub.add_argument("--only", nargs="*", choices=VARIANTS, help="variants")
        sub.add_argument("--seeds", type=int, default=5, help="number of seeds")
    if command is test:
        sub.add_argument("--against", type=Path, required=True, help="folder with runs MODEL/SETTINGS/seedN")


if __name__ == "__main__":
    run_command(__doc__, (run, table, test), add_options)
