"""The results table: every model on real data, chosen on validation, measured once on test.

    python benchmarks/results.py run --data ../shared/data --work /tmp/results [--only tiktok/LGMRec]
    python benchmarks/results.py table --work /tmp/results > benchmarks/results.json
    python benchmarks/results.py page > docs/results.md

Each entry of `PLAN` has small grids. Every configuration is trained with seed 0; the best on validation is trained with
the other seeds too. Runs are ordinary run directories: an interrupted one is resumed, a finished one is not repeated.
"""

import argparse
import itertools
import json
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

import prismrec
from prismrec.data import Dataset
from prismrec.training import EpochRecord, Settings

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
PLAN = (
    Entry("tiktok", "most-popular", seeds=(0,)),
    Entry("tiktok", "LGMRec", patience=50),
    Entry("tiktok", "LightGCN", ({"layers": (2,), **MMREC},), patience=50),
    Entry("tiktok", "VBPR", ({"regulariser": (0.01,)},), patience=50),
    Entry("tiktok", "MF-BPR", ({"regulariser": (0.01, 0.1), **NORMS},), patience=50),
    Entry("baby", "most-popular", seeds=(0,)),
    Entry("baby", "MF-BPR", ({"regulariser": (0.1, 1.0, 2.0), **NORMS}, {"regulariser": (0.003, 0.01, 0.03, 0.1)})),
    Entry("baby", "LightGCN", ({"layers": (2, 3), "regulariser": (1e-4, 1e-3), **MMREC},)),
)


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
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # of the process so far, bytes
        (folder / "peak.json").write_text(json.dumps({"peak_bytes": peak}))
    metrics: dict[str, object] = json.loads((folder / "metrics.json").read_text())
    return metrics


def run(args: argparse.Namespace) -> None:
    """Train whatever is missing."""
    chosen = [entry for entry in PLAN if not args.only or entry.name in args.only]
    for data, entries in itertools.groupby(chosen, key=lambda entry: entry.data):
        dataset = prismrec.load(Path(args.data) / data)
        for entry in entries:
            results = [run_one(dataset, entry, each, entry.seeds[0], args.work) for each in entry.configurations()]
            best = max(range(len(results)), key=lambda index: results[index]["valid"]["recall@20"])
            for seed in entry.seeds[1:]:
                run_one(dataset, entry, entry.configurations()[best], seed, args.work)


def table(args: argparse.Namespace) -> None:
    """Print what has been measured as JSON: per entry the chosen configuration and mean and deviation over seeds."""
    rows = []
    for entry in PLAN:
        found = {
            slug(each): json.loads(path.read_text())
            for each in entry.configurations()
            if (path := args.work / entry.name / slug(each) / f"seed{entry.seeds[0]}" / "metrics.json").exists()
        }
        if not found:
            continue
        best = max(found, key=lambda name: found[name]["valid"]["recall@20"])
        paths = [args.work / entry.name / best / f"seed{seed}" / "metrics.json" for seed in entry.seeds]
        runs = [json.loads(path.read_text()) for path in paths if path.exists()]
        row = {"data": entry.data, "model": entry.model, "settings": best, "tried": sorted(found), "seeds": len(runs)}
        row["patience"] = entry.patience
        row |= {"epochs": [each["epochs"] for each in runs], "best_epochs": [each["best_epoch"] for each in runs]}
        row["seconds_per_epoch"] = min(each["seconds_per_epoch"] for each in runs)
        row["valid recall@20"] = mean(each["valid"]["recall@20"] for each in runs)
        for metric in METRICS:
            values = [each["test"][metric] for each in runs]
            row[metric] = {"mean": mean(values), "sd": stdev(values) if len(values) > 1 else None}
        rows.append(row)
    print(json.dumps(rows, indent=1))


def page(_: argparse.Namespace) -> None:
    """Print docs/results.md from results.json."""
    here = Path(__file__).parent
    lines = [(here / "results_head.md").read_text(encoding="utf-8")]
    rows = json.loads((here / "results.json").read_text(encoding="utf-8"))
    for data, group in itertools.groupby(rows, key=lambda row: row["data"]):
        lines += [f"## {data}", "", f"| model | settings | seeds | {' | '.join(METRICS)} | epochs | s/epoch |"]
        lines += ["|---" * (5 + len(METRICS)) + "|"]
        for row in group:
            cells = [f"{row[m]['mean']:.4f}" + (f" ± {row[m]['sd']:.4f}" if row[m]["sd"] else "") for m in METRICS]
            epochs = ", ".join(map(str, row["epochs"]))
            settings = row["settings"].replace(",", ", ") + (
                f" (of {len(row['tried'])})" if len(row["tried"]) > 1 else ""
            )
            cells = [row["model"], settings, str(row["seeds"]), *cells, epochs, f"{row['seconds_per_epoch']:.2f}"]
            lines += [f"| {' | '.join(cells)} |"]
        lines += [""]
    print("\n".join(lines).rstrip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, command in (("run", run), ("table", table), ("page", page)):
        sub = commands.add_parser(name)
        sub.set_defaults(command=command)
        sub.add_argument("--work", type=Path)
        sub.add_argument("--data", type=Path)
        sub.add_argument("--only", nargs="*", help="entries such as tiktok/LGMRec")
    args = parser.parse_args()
    args.command(args)


if __name__ == "__main__":
    main()
