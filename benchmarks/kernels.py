"""What the compiled kernels are worth: prismrec with them and without, an epoch of one and then one of the other.

    python benchmarks/kernels.py run --work /tmp/bench [--data tiktok baby] [--models MF-BPR] [--threads 2]
    python benchmarks/kernels.py table --work /tmp/bench > benchmarks/kernels.json
    python benchmarks/kernels.py plot --out docs/kernels.svg

Models are configured as beside the peer. Every pair of a data set and a model appends one line to WORK/kernels.jsonl,
and one that is there already is not measured again.
"""

import argparse
import json
import os
from pathlib import Path

from measured import Command, append, lines, run_command
from peer import BATCH_SIZE, PAIRS, WIDTH, Pair, Side, both, middle

HERE = Path(__file__).parent
MODELS = ("MF-BPR", "LightGCN", "VBPR", "BM3", "LATTICE", "LGMRec")


def run(args: argparse.Namespace) -> None:
    """Measure whatever is missing."""
    path = args.work / "kernels.jsonl"
    known = {(line["data"], line["model"], line["threads"]) for line in lines(path)}
    for data in args.data:
        for pair in PAIRS:
            if pair.name in args.models and (data, pair.name, args.threads) not in known:
                result = measure(data, pair, args)
                append(path, result)
                print(json.dumps(result), flush=True)


def measure(data: str, pair: Pair, args: argparse.Namespace) -> dict:
    config = {"batch_size": BATCH_SIZE, "embedding_size": WIDTH} | pair.our_config
    words = ["--model", pair.ours, "--config", json.dumps(config), "--data", str(args.work / data)]
    sides = {}
    for kernels in ("on", "off"):
        log = args.work / f"{data}-{pair.name}-kernels-{kernels}.log"
        side = sides[kernels] = Side("side_ours.py", words, args.threads, log, PRISMREC_KERNELS=kernels)
        side.answer()  # one side builds at a time
        side.found = {"epoch": [], "evaluate": []}
    for command in ("epoch", "evaluate"):
        for _ in range(args.repeats + 1):
            for side in sides.values():
                side.found[command].append(side.ask(command))
    for side in sides.values():
        side.found |= side.ask("quit")
        side.process.communicate()
    row = {"data": data, "model": pair.name, "threads": args.threads}
    for command, name in (("epoch", "epoch_seconds"), ("evaluate", "evaluation_seconds")):
        row[name] = both([middle(side.found[command], "seconds") for side in sides.values()])
    return row | {"peak_megabytes": both([side.found["peak_bytes"] / 1e6 for side in sides.values()])}


def table(args: argparse.Namespace) -> None:
    """Print all that has been measured as JSON: "ours" with the kernels, "peer" without."""
    print(json.dumps(lines(args.work / "kernels.jsonl"), indent=1))


def plot(args: argparse.Namespace) -> None:
    """Two bars per model and data set: how many times faster an epoch and an evaluation are with the kernels."""
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
        sub.add_argument("--work", type=Path, required=True, help="where data.py put the data, and results go")
    if command is run:
        sub.add_argument("--data", nargs="*", default=["tiktok", "baby"])
        sub.add_argument("--models", nargs="*", default=MODELS)
        sub.add_argument("--threads", type=int, default=os.cpu_count())
        sub.add_argument("--repeats", type=int, default=5, help="epochs and evaluations after one to warm up")


if __name__ == "__main__":
    run_command(__doc__, (run, table, plot), add_options)
