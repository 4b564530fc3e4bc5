"""Measure what the compiled kernels gain: the same model with them and without (`PRISMREC_KERNELS=off`).

    python benchmarks/kernels.py run --work /tmp/bench [--data tiktok baby] [--models MF-BPR] [--threads 2]
    python benchmarks/kernels.py table --work /tmp/bench > benchmarks/kernels.json
    python benchmarks/kernels.py plot --out docs/kernels.svg

Two processes train one epoch each in turn. The models have the hyperparameters of peer.py. Each data set and model
appends one line to WORK/kernels.jsonl. `run` skips what is in that file.
"""

import argparse
import json
import os
from pathlib import Path

from measured import Command, append, lines, run_command
from peer import PAIRS, Pair
from sides import Side, median_after_first, ratio, rounded, run_in_turn

HERE = Path(__file__).parent
MODELS = ("MF-BPR", "LightGCN", "VBPR", "BM3", "LATTICE", "LGMRec")


def run(args: argparse.Namespace) -> None:
    """Measure what WORK/kernels.jsonl does not have yet."""
    path = args.work / "kernels.jsonl"
    known = {(line["data"], line["model"], line["threads"]) for line in lines(path)}
    for data in args.data:
        for pair in PAIRS:
            if pair.name in args.models and (data, pair.name, args.threads) not in known:
                result = measure(data, pair, args)
                append(path, result)
                print(json.dumps(result), flush=True)


def measure(data: str, pair: Pair, args: argparse.Namespace) -> dict:
    """One line of WORK/kernels.jsonl."""
    options = ["--model", pair.ours, "--config", json.dumps(pair.our_hyperparameters), "--data", str(args.work / data)]
    log = f"{data}-{pair.name}-kernels"
    # The second process starts when the first has built its model.
    compiled = Side("side_ours.py", options, args.threads, args.work / f"{log}-on.log", PRISMREC_KERNELS="on")
    plain = Side("side_ours.py", options, args.threads, args.work / f"{log}-off.log", PRISMREC_KERNELS="off")
    run_in_turn([compiled, plain], args.repeats, args.repeats)
    return {
        "data": data,
        "model": pair.name,
        "threads": args.threads,
        "epoch_seconds": compare(
            median_after_first(compiled.epochs, "seconds"), median_after_first(plain.epochs, "seconds")
        ),
        "evaluation_seconds": compare(
            median_after_first(compiled.evaluations, "seconds"), median_after_first(plain.evaluations, "seconds")
        ),
        "peak_megabytes": compare(compiled.last["peak_bytes"] / 1e6, plain.last["peak_bytes"] / 1e6),
    }


def compare(compiled: float | None, plain: float | None) -> dict:
    compiled, plain = rounded(compiled), rounded(plain)
    return {"with": compiled, "without": plain, "ratio": ratio(compiled, plain)}


def table(args: argparse.Namespace) -> None:
    """Print all measurements as JSON."""
    print(json.dumps(lines(args.work / "kernels.jsonl"), indent=1))


def plot(args: argparse.Namespace) -> None:
    """Draw two bars per model and data set: the ratio of the epochs and that of the evaluations."""
    from matplotlib import pyplot

    rows = json.loads((HERE / "kernels.json").read_text())[::-1]
    figure, axes = pyplot.subplots(figsize=(7, 0.5 * len(rows) + 1))
    for offset, kind in ((0.2, "epoch"), (-0.2, "evaluation")):
        places = [place + offset for place in range(len(rows))]
        axes.barh(places, [row[f"{kind}_seconds"]["ratio"] for row in rows], height=0.4, label=kind)
    axes.set_yticks(range(len(rows)), [f"{row['model']}, {row['data']}, {row['threads']} threads" for row in rows])
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set(xlabel="seconds without the kernels / with them")
    axes.legend()
    figure.tight_layout()
    figure.savefig(args.out)


def add_options(command: Command, sub: argparse.ArgumentParser) -> None:
    if command is plot:
        sub.add_argument("--out", type=Path, required=True)
    else:
        sub.add_argument("--work", type=Path, required=True, help="folder of the data (data.py) and of the results")
    if command is run:
        sub.add_argument("--data", nargs="*", default=["tiktok", "baby"])
        sub.add_argument("--models", nargs="*", choices=MODELS, default=MODELS)
        sub.add_argument("--threads", type=int, default=os.cpu_count())
        sub.add_argument("--repeats", type=int, default=5, help="epochs and evaluations, after one to warm up")


if __name__ == "__main__":
    run_command(__doc__, (run, table, plot), add_options)
