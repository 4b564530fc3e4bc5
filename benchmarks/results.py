"""The results table: every model on real data, chosen on validation, measured once on test.

    python benchmarks/results.py run --data ../shared/data --work /tmp/results [--only tiktok/LGMRec] [--seeds 1]
    python benchmarks/results.py cost --data ../shared/data --work /tmp/results
    python benchmarks/results.py table --work /tmp/results > benchmarks/results.json
    python benchmarks/results.py page > docs/results.md

Each entry of `PLAN` has small grids. Every configuration is trained with seed 0; the best on validation is trained with
the other seeds too. Runs are ordinary run directories: an interrupted one is resumed, a finished one is not repeated.
`cost` trains the best configuration for a few epochs in a process of its own and keeps their time and its peak memory;
it wants a core for itself, while `run` may share it.
"""

import argparse
import itertools
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev

from measured import Command, markdown, run_command

import prismrec
from prismrec.data import Dataset
from prismrec.experiments.bench import time_model
from prismrec.process import ask_for_large_pages
from prismrec.records import EpochRecord, Settings

METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")


@dataclass(frozen=True)
class Entry:
    """One row of the table: a model on a data set, its grid and its seeds."""

    data: str
    model: str
    grids: tuple[dict[str, tuple[object, ...]], ...] = ({},)
    seeds: tuple[int, ...] = (0, 1, 2)
    patience: int = 20
    """Validations without a better one; some rest for more than 20 epochs on a plateau before they learn on."""

    @property
    def name(self) -> str:
        return f"{self.data}/{self.model}"

    def configurations(self) -> list[dict[str, object]]:
        return [
            dict(zip(grid, values, strict=True)) for grid in self.grids for values in itertools.product(*grid.values())
        ]


MMREC = {"initialiser": ("xavier",), "regulariser_form": ("norms",)}
NORMS = {"regulariser_form": ("norms",)}
HCCF = {"variant": ("torch",), "contrast_weight": (1.0,), "regulariser": (3e-3,)}
PLAN = (
    Entry("tiktok", "most-popular", seeds=(0,)),
    Entry("tiktok", "MF-BPR", ({"regulariser": (0.01, 0.1), **NORMS}, {"regulariser": (0.01, 0.03, 0.1)}), patience=50),
    Entry(
        "tiktok",
        "NGCF",
        (
            {"regulariser": (1e-5, 1e-2)},
            {"dropout": (0.5,)},
            {"learning_rate": (1e-4,)},
            {"dropout": (0.5,), "learning_rate": (1e-4,)},
        ),
    ),
    Entry("tiktok", "LightGCN", ({"layers": (2,), **MMREC},), patience=50),
    Entry("tiktok", "SGL", ({"contrast_weight": (0.1, 0.01)},)),
    Entry("tiktok", "NCL"),
    Entry("tiktok", "HCCF", ({"contrast_weight": (1e-5,)}, HCCF)),
    Entry("tiktok", "SHT", ({"regulariser": (1e-4, 1e-3, 1e-2, 1e-1)},)),
    Entry("tiktok", "VBPR", ({"regulariser": (0.01,)},), patience=50),
    Entry("tiktok", "ACF"),
    Entry("tiktok", "MMGCN", ({"learning_rate": (1e-3, 1e-4)},)),
    Entry("tiktok", "GRCN", ({"learning_rate": (1e-3,)}, {"learning_rate": (1e-3,), "regulariser": (1e-2, 1e-1)})),
    Entry(
        "tiktok",
        "LATTICE",
        (
            {},
            {"learning_rate": (1e-3,), "regulariser": (1e-4, 1e-3)},
            {"learning_rate": (1e-3,), "regulariser": (1e-4,), "interaction_graph": ("sym",)},
        ),
        patience=50,
    ),
    Entry("tiktok", "MMGCL", ({}, {"contrast_weight": (0.4, 0.04), "weight_decay": (1e-6,)})),
    Entry("tiktok", "MICRO", seeds=(0,)),
    Entry("tiktok", "SLMRec", ({"learning_rate": (1e-3, 1e-2)},)),
    Entry("tiktok", "BM3", patience=50),
    Entry("tiktok", "LGMRec", patience=50),
    Entry(
        "tiktok", "LUDP", ({}, {"regulariser": (1e-2, 1e-1)}, {"learning_rate": (1e-4,), "regulariser": (1e-4, 1e-2)})
    ),
    Entry("baby", "most-popular", seeds=(0,)),
    Entry("baby", "MF-BPR", ({"regulariser": (0.1, 1.0, 2.0), **NORMS}, {"regulariser": (0.003, 0.01, 0.03, 0.1)})),
    Entry("baby", "NGCF", seeds=(0,)),
    Entry("baby", "LightGCN", ({"layers": (2, 3), "regulariser": (1e-4, 1e-3), **MMREC},)),
    Entry("baby", "SGL", ({"contrast_weight": (0.1, 0.01)},)),
    Entry("baby", "NCL", ({}, {"structure_weight": (2e-6,), "temperature": (0.2,)}, {"regulariser": (1e-3,)})),
    Entry(
        "baby",
        "HCCF",
        (
            HCCF,
            {"variant": ("torch",), "hyperedges": (8,), "regulariser": (3e-3,)},
            {"variant": ("torch",), "hyperedges": (16,), "regulariser": (6e-3, 1e-2), "keep_rate": (0.8,)},
            {"variant": ("torch",), "hyperedges": (32,), "regulariser": (1e-2,), "keep_rate": (0.9,)},
        ),
    ),
    Entry(
        "baby",
        "SHT",
        (
            {"regulariser": (1e-4, 1e-3, 1e-2, 3e-2)},
            {"regulariser": (1e-2,), "lr_decay": (1.0,)},
            {"variant": ("light",), "regulariser": (3e-7, 3e-6, 3e-5, 1e-4)},
        ),
    ),
)
REFERENCE = {
    "tiktok/MF-BPR": 0.0483,
    "tiktok/LightGCN": 0.0922,
    "tiktok/VBPR": 0.0274,
    "tiktok/LATTICE": 0.0828,
    "tiktok/SLMRec": 0.0931,
    "tiktok/BM3": 0.0620,
    "tiktok/LGMRec": 0.0643,
    "baby/MF-BPR": 0.0607,
    "baby/LightGCN": 0.0732,
    "baby/SGL": 0.0820,
    "baby/NCL": 0.0836,
    "baby/HCCF": 0.0756,
    "baby/SHT": 0.0748,
}
"""Test recall@20 elsewhere: on `tiktok` one run each of MMRec at commit e775373, on `baby` LGMRec's Table 2."""


def chosen(args: argparse.Namespace) -> list[Entry]:
    return [entry for entry in PLAN if not args.only or entry.name in args.only]


def slug(configuration: dict[str, object]) -> str:
    return ",".join(f"{name}={value}" for name, value in configuration.items()) or "defaults"


def run_one(
    dataset: Dataset, entry: Entry, configuration: dict[str, object], seed: int, work: Path
) -> dict[str, object]:
    """The metrics of one run, trained now or earlier."""
    folder = work / entry.name / slug(configuration) / f"seed{seed}"
    if not (folder / "metrics.json").exists():
        print(f"{entry.name} {slug(configuration)} seed {seed}", file=sys.stderr, flush=True)

        def report(record: EpochRecord) -> None:
            if record.epoch % 10 == 0:
                scores = record.valid or {}
                print(f"  {record.epoch} {record.seconds:.2f} s {scores.get('recall@20')}", file=sys.stderr, flush=True)

        settings = Settings(seed=seed, patience=entry.patience)
        prismrec.train(entry.model, dataset, configuration, settings, out=folder, resume=True, report=report)
    metrics: dict[str, object] = json.loads((folder / "metrics.json").read_text())
    return metrics


def best_configuration(entry: Entry, work: Path) -> tuple[dict[str, object], list[str]] | None:
    """The configuration best on validation among those trained with the first seed, and the names of all of these."""
    valid = {}
    for each in entry.configurations():
        path = work / entry.name / slug(each) / f"seed{entry.seeds[0]}" / "metrics.json"
        if path.exists():
            valid[slug(each)] = json.loads(path.read_text())["valid"]["recall@20"]
    if not valid:
        return None
    best = max(valid, key=lambda name: valid[name])
    return next(each for each in entry.configurations() if slug(each) == best), sorted(valid)


def run(args: argparse.Namespace) -> None:
    """Train whatever is missing."""
    for data, entries in itertools.groupby(chosen(args), key=lambda entry: entry.data):
        dataset = prismrec.load(Path(args.data) / data)
        for entry in entries:
            for each in entry.configurations():
                run_one(dataset, entry, each, entry.seeds[0], args.work)
            best = best_configuration(entry, args.work)
            for seed in entry.seeds[1 : args.seeds]:
                run_one(dataset, entry, best[0], seed, args.work)


def cost(args: argparse.Namespace) -> None:
    """Time whatever has been trained and not been timed, each in a process of its own."""
    for entry in chosen(args):
        best = best_configuration(entry, args.work)
        path = args.work / entry.name / "cost.json"
        if best is None or path.exists():
            continue
        command = [sys.executable, __file__, "time", "--data", args.data, "--only", entry.name]
        done = subprocess.run([*command, "--config", json.dumps(best[0])], stdout=subprocess.PIPE, check=True)
        path.write_bytes(done.stdout)


def time(args: argparse.Namespace) -> None:
    """Print the cost of one configuration."""
    (entry,) = chosen(args)
    ask_for_large_pages()  # as the command line does
    timing = time_model(entry.model, prismrec.load(args.data / entry.data), json.loads(args.config), epochs=3)
    print(json.dumps(asdict(timing)))


def table(args: argparse.Namespace) -> None:
    """Print what has been measured as JSON: per entry the chosen configuration and mean and deviation over seeds."""
    rows = []
    for entry in PLAN:
        best = best_configuration(entry, args.work)
        if best is None:
            continue
        paths = [args.work / entry.name / slug(best[0]) / f"seed{seed}" / "metrics.json" for seed in entry.seeds]
        runs = [json.loads(path.read_text()) for path in paths if path.exists()]
        row = {"data": entry.data, "model": entry.model, "settings": slug(best[0]), "tried": best[1]}
        row |= {"seeds": len(runs), "patience": entry.patience, "reference recall@20": REFERENCE.get(entry.name)}
        row |= {"epochs": [each["epochs"] for each in runs], "best_epochs": [each["best_epoch"] for each in runs]}
        timed = args.work / entry.name / "cost.json"
        row["cost"] = json.loads(timed.read_text()) if timed.exists() else None
        row["valid recall@20"] = mean(each["valid"]["recall@20"] for each in runs)
        for metric in METRICS:
            values = [each["test"][metric] for each in runs]
            row[metric] = {"mean": mean(values), "sd": stdev(values) if len(values) > 1 else None}
        rows.append(row)
    print(json.dumps(rows, indent=1))


def page(_: argparse.Namespace) -> None:
    """Print docs/results.md from results.json."""
    here = Path(__file__).parent
    parts = [(here / "results_head.md").read_text(encoding="utf-8")]
    columns = ["model", "settings", "seeds", *METRICS, "reference", "epochs", "s/epoch", "MB"]
    rows = json.loads((here / "results.json").read_text(encoding="utf-8"))
    for data, group in itertools.groupby(rows, key=lambda row: row["data"]):
        parts += [f"## {data}", "", markdown(columns, [cells(row) for row in group]), ""]
    print("\n".join(parts).rstrip())


def cells(row: dict) -> list[str]:
    """One line of the table."""
    scores = [f"{row[m]['mean']:.4f}" + (f" ± {row[m]['sd']:.4f}" if row[m]["sd"] else "") for m in METRICS]
    settings = row["settings"].replace(",", ", ") + (f" (of {len(row['tried'])})" if len(row["tried"]) > 1 else "")
    reference = f"{row['reference recall@20']:.4f}" if row["reference recall@20"] else ""
    timed = row["cost"]
    costs = [f"{timed['epoch_seconds']:.2f}", f"{timed['peak_bytes'] / 1e6:.0f}"] if timed else ["", ""]
    epochs = ", ".join(map(str, row["epochs"]))
    return [row["model"], settings, str(row["seeds"]), *scores, reference, epochs, *costs]


def add_options(_: Command, sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--work", type=Path)
    sub.add_argument("--data", type=Path)
    sub.add_argument("--only", nargs="*", help="entries such as tiktok/LGMRec")
    sub.add_argument("--seeds", type=int, help="train with this many seeds at most")
    sub.add_argument("--config", help="of `time`: a configuration as JSON")


if __name__ == "__main__":
    run_command(__doc__, (run, cost, time, table, page), add_options)
