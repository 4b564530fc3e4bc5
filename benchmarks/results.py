"""Make the results table: train every model on real data, choose on validation, measure once on test.

    python benchmarks/results.py run --data ../shared/data --work /tmp/results [--only tiktok/LGMRec] [--seeds 1]
    python benchmarks/results.py cost --data ../shared/data --work /tmp/results
    python benchmarks/results.py table --work /tmp/results > benchmarks/results.json
    python benchmarks/results.py page > docs/results.md

plan.py lists models, hyperparameters to try, seeds and patience. `run` trains every configuration with the first seed,
and the one that is best on validation with the other seeds. It writes ordinary run directories, resumes interrupted
ones and skips finished ones. `cost` trains the best configuration for a few epochs in its own process and records time
and peak memory. Run it on an idle core.
"""

import argparse
import itertools
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from statistics import mean, stdev

from measured import Command, markdown, run_command
from plan import PLAN, REFERENCE, Configuration, Entry

import prismrec
from prismrec.data import Dataset
from prismrec.experiments.bench import time_model
from prismrec.process import request_large_pages, retain_freed_memory
from prismrec.records import Settings
from prismrec.training import Callback, EpochEnd

HERE = Path(__file__).parent
METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")


def chosen(args: argparse.Namespace) -> list[Entry]:
    return [entry for entry in PLAN if not args.only or entry.name in args.only]


def words(configuration: Configuration) -> list[str]:
    """The configuration as `--set` takes it."""
    return [f"{name}={value}" for name, value in configuration.items()]


def folder_name(configuration: Configuration) -> str:
    return ",".join(words(configuration)) or "defaults"


def run(args: argparse.Namespace) -> None:
    """Train what has not been trained yet."""
    retain_freed_memory()  # as the command line does
    request_large_pages()
    for data, entries in itertools.groupby(chosen(args), key=lambda entry: entry.data):
        dataset = prismrec.load(args.data / data)
        for entry in entries:
            for configuration in entry.configurations():
                train(dataset, entry, configuration, entry.seeds[0], args.work)
            best, _ = best_configuration(entry, args.work)
            for seed in entry.seeds[1 : args.seeds]:
                train(dataset, entry, best, seed, args.work)


def train(dataset: Dataset, entry: Entry, configuration: Configuration, seed: int, work: Path) -> None:
    """Train one run, unless it is finished."""
    folder = work / entry.name / folder_name(configuration) / f"seed{seed}"
    if (folder / "metrics.json").exists():
        return
    print(f"{entry.name} {folder_name(configuration)} seed {seed}", file=sys.stderr, flush=True)
    settings = Settings(seed=seed, patience=entry.patience)
    prismrec.train(entry.model, dataset, configuration, settings, out=folder, resume=True, callbacks=[Progress()])


class Progress(Callback):
    def on_epoch(self, epoch: EpochEnd) -> None:
        record = epoch.record
        if record.epoch % 10 == 0:
            recall = (record.valid or {}).get("recall@20")
            print(f"  epoch {record.epoch}: {record.seconds:.2f} s, recall@20 {recall}", file=sys.stderr, flush=True)


def best_configuration(entry: Entry, work: Path) -> tuple[Configuration | None, list[str]]:
    """The trained configuration that is best on validation with the first seed, and the names of all trained ones."""
    best, best_recall, tried = None, -1.0, []
    for configuration in entry.configurations():
        path = work / entry.name / folder_name(configuration) / f"seed{entry.seeds[0]}" / "metrics.json"
        if not path.exists():
            continue
        tried.append(folder_name(configuration))
        recall = json.loads(path.read_text())["valid"]["recall@20"]
        if recall > best_recall:
            best, best_recall = configuration, recall
    return best, sorted(tried)


def cost(args: argparse.Namespace) -> None:
    """Time what has been trained and not been timed yet."""
    for entry in chosen(args):
        best, _ = best_configuration(entry, args.work)
        path = args.work / entry.name / "cost.json"
        if best is None or path.exists():
            continue
        command = [sys.executable, __file__, "time", "--data", args.data, "--only", entry.name]
        done = subprocess.run([*command, "--config", json.dumps(best)], stdout=subprocess.PIPE, check=True)
        path.write_bytes(done.stdout)


def time(args: argparse.Namespace) -> None:
    """Print time and memory of one configuration."""
    retain_freed_memory()  # as the command line does
    request_large_pages()
    entry = chosen(args)[0]
    timing = time_model(entry.model, prismrec.load(args.data / entry.data), json.loads(args.config), epochs=3)
    print(json.dumps(asdict(timing)))


def table(args: argparse.Namespace) -> None:
    """Print the best configuration per entry, with mean and deviation over the seeds, as JSON."""
    rows = []
    for entry in PLAN:
        best, tried = best_configuration(entry, args.work)
        if best is not None:
            rows.append(row(entry, best, tried, args.work))
    print(json.dumps(rows, indent=1))


def row(entry: Entry, best: Configuration, tried: list[str], work: Path) -> dict:
    """One row of results.json."""
    paths = [work / entry.name / folder_name(best) / f"seed{seed}" / "metrics.json" for seed in entry.seeds]
    runs = [json.loads(path.read_text()) for path in paths if path.exists()]
    timed = work / entry.name / "cost.json"
    made = {
        "data": entry.data,
        "model": entry.model,
        "settings": folder_name(best),
        "tried": tried,
        "seeds": len(runs),
        "patience": entry.patience,
        "reference recall@20": REFERENCE.get(entry.name),
        "epochs": [each["epochs"] for each in runs],
        "best_epochs": [each["best_epoch"] for each in runs],
        "cost": json.loads(timed.read_text()) if timed.exists() else None,
        "valid recall@20": mean(each["valid"]["recall@20"] for each in runs),
    }
    for metric in METRICS:
        values = [each["test"][metric] for each in runs]
        made[metric] = {"mean": mean(values), "sd": stdev(values) if len(values) > 1 else None}
    return made


def page(_: argparse.Namespace) -> None:
    """Print docs/results.md from results_head.md and results.json."""
    print(results_page())


def results_page() -> str:
    """The text of docs/results.md, without the last line break."""
    columns = ["model", *METRICS, "reference", "seeds", "tried", "epochs", "s/epoch", "MB", "command"]
    parts = [(HERE / "results_head.md").read_text(encoding="utf-8").rstrip(), ""]
    rows = json.loads((HERE / "results.json").read_text(encoding="utf-8"))
    for data, group in itertools.groupby(rows, key=lambda row: row["data"]):
        parts += [f"## {data}", "", markdown(columns, [cells(row) for row in group]), ""]
    return "\n".join(parts).rstrip()


def cells(row: dict) -> list[str]:
    """One line of the table."""
    scores = []
    for metric in METRICS:
        sd = row[metric]["sd"]
        scores.append(f"{row[metric]['mean']:.4f}" + (f" ± {sd:.4f}" if sd else ""))
    reference = f"{row['reference recall@20']:.4f}" if row["reference recall@20"] else ""
    timed = row["cost"]
    costs = [f"{timed['epoch_seconds']:.2f}", f"{timed['peak_bytes'] / 1e6:.0f}"] if timed else ["", ""]
    epochs = ", ".join(str(count) for count in row["epochs"])
    tried = str(len(row["tried"]))
    return [row["model"], *scores, reference, str(row["seeds"]), tried, epochs, *costs, f"`{train_command(row)}`"]


def train_command(row: dict) -> str:
    """The command line that trains the first seed of a row."""
    settings = [] if row["settings"] == "defaults" else row["settings"].split(",")
    options = [f"--set {setting}" for setting in settings]
    return " ".join(
        [f"prismrec train {row['model']} DATA/{row['data']} --out RUN --seed 0 --patience {row['patience']}", *options]
    )


def add_options(command: Command, sub: argparse.ArgumentParser) -> None:
    if command in (run, cost, time):
        sub.add_argument("--data", type=Path, required=True, help="folder with tiktok/ and baby/")
        sub.add_argument("--only", nargs="*", help="entries such as tiktok/LGMRec")
    if command in (run, cost, table):
        sub.add_argument("--work", type=Path, required=True, help="folder of the runs")
    if command is run:
        sub.add_argument("--seeds", type=int, help="the largest number of seeds to train with")
    if command is time:
        sub.add_argument("--config", required=True, help="hyperparameters as JSON")


if __name__ == "__main__":
    run_command(__doc__, (run, cost, time, table, page), add_options)
