"""Compare prismrec with MMRec: same data, batch size, widths and threads.

    python benchmarks/data.py --data ../shared/data --work /tmp/bench
    python benchmarks/peer.py run --peer ../MMRec --work /tmp/bench [--data tiktok baby] [--models LGMRec] [--threads 2]
    python benchmarks/peer.py table --work /tmp/bench > benchmarks/peer.json
    python benchmarks/peer.py plot --out docs/peer.svg
    python benchmarks/peer.py page > docs/performance.md

Each library runs in its own process. The two processes train one epoch each in turn, and the first epoch warms up.
Peak memory is that of the process, or with `--device cuda` that of PyTorch on the GPU. Each data set and model appends
one line to WORK/peer.jsonl. `run` skips what is in that file. If a process fails, the line holds its last line of
output.
"""

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path

from measured import Command, append, lines, run_command
from performance_page import performance_page
from sides import BATCH_SIZE, WIDTH, Side, median_after_first, ratio, rounded, run_in_turn

HERE = Path(__file__).parent
DATA = ("tiktok", "baby", "clothing", "clothing-82", "clothing-half")


@dataclass(frozen=True)
class Pair:
    """One model as both libraries name and configure it.

    Attributes:
        ours: name in prismrec.
        peer: name in MMRec.
        our_config: hyperparameters in prismrec.
        peer_config: hyperparameters in MMRec.
        precision: of the products with features in prismrec; MMRec has float32 only.
    """

    ours: str
    peer: str
    our_config: dict[str, object]
    peer_config: dict[str, object]
    precision: str = "float32"

    @property
    def name(self) -> str:
        return self.ours if self.precision == "float32" else f"{self.ours} {self.precision}"

    @property
    def our_hyperparameters(self) -> dict[str, object]:
        return {"batch_size": BATCH_SIZE, "embedding_size": WIDTH} | self.our_config

    @property
    def peer_hyperparameters(self) -> dict[str, object]:
        return {"train_batch_size": BATCH_SIZE, "embedding_size": WIDTH} | self.peer_config


_MMREC = {"initialiser": "xavier", "regulariser_form": "norms"}
_LGMREC = {
    "n_ui_layers": 2,
    "n_mm_layers": 2,
    "n_hyper_layer": 1,
    "hyper_num": 4,
    "keep_rate": 0.5,
    "alpha": 0.3,
    "cl_weight": 1e-4,
    "reg_weight": 1e-6,
}
PAIRS = (
    Pair("MF-BPR", "BPR", {"regulariser_form": "norms", "regulariser": 0.1}, {"reg_weight": 0.1}),
    Pair("LightGCN", "LightGCN", {"layers": 2, **_MMREC}, {"n_layers": 2, "reg_weight": 1e-4}),
    Pair("VBPR", "VBPR", {"regulariser": 0.01}, {"reg_weight": 0.01}),
    Pair("BM3", "BM3", {}, {"n_layers": 1, "dropout": 0.5, "reg_weight": 0.1}),
    Pair(
        "SLMRec",
        "SLMRec",
        {"variant": "mmrec", "learning_rate": 1e-3},
        {"learning_rate": 1e-3, "ssl_temp": 0.2, "ssl_alpha": 0.1, "reg": 1e-4},
    ),
    Pair("MMGCN", "MMGCN", {"variant": "official"}, {"reg_weight": 1e-5, "learning_rate": 1e-4}),
    Pair("GRCN", "GRCN", {"variant": "mmrec"}, {"reg_weight": 1e-5, "learning_rate": 1e-4}),
    Pair("LATTICE", "LATTICE", {"fuse": "official"}, {"reg_weight": 1e-5, "learning_rate": 5e-4}),
    Pair("LGMRec", "LGMRec", {}, _LGMREC),
    Pair("LGMRec", "LGMRec", {}, _LGMREC, "bf16"),
)
NAMES = [pair.name for pair in PAIRS]


def run(args: argparse.Namespace) -> None:
    """Measure what WORK/peer.jsonl does not have yet."""
    path = args.work / "peer.jsonl"
    device = device_name(args.device)
    known = {(line["data"], line["model"], line["device"], line["threads"]) for line in lines(path)}
    for data in args.data:
        for pair in PAIRS:
            if pair.name not in args.models or (data, pair.name, device, args.threads) in known:
                continue
            result = measure(data, pair, args)
            append(path, result)
            print(json.dumps(summary(result)), flush=True)


def measure(data: str, pair: Pair, args: argparse.Namespace) -> dict:
    """One line of WORK/peer.jsonl."""
    common = ["--data", str(args.work / data), "--device", args.device]
    our_options = ["--model", pair.ours, "--config", json.dumps(pair.our_hyperparameters)]
    our_options += ["--precision", pair.precision, *common]
    peer_options = ["--model", pair.peer, "--config", json.dumps(pair.peer_hyperparameters)]
    peer_options += ["--peer", str(args.peer.resolve()), *common]
    # The second process starts when the first has built its model.
    ours = Side("side_ours.py", our_options, args.threads, args.work / f"{data}-{pair.name}-ours.log")
    peer = Side("side_peer.py", peer_options, args.threads, args.work / f"{data}-{pair.name}-peer.log")
    run_in_turn([ours, peer], args.epochs, args.evaluations)
    return {
        "data": data,
        "model": pair.name,
        "device": device_name(args.device),
        "threads": args.threads,
        "batch_size": BATCH_SIZE,
        "width": WIDTH,
        "ours": record(ours, pair.our_hyperparameters),
        "peer": record(peer, pair.peer_hyperparameters),
    }


def record(side: Side, config: dict[str, object]) -> dict:
    """Everything that one process reported."""
    failure = {} if side.failure is None else {"failure": side.failure}
    measured = {"epochs": side.epochs, "evaluations": side.evaluations}
    return {"config": config, **side.first, **measured, **side.last, **failure}


def device_name(device: str) -> str:
    """The name of the GPU, or "cpu"."""
    if device == "cpu":
        return "cpu"
    import torch

    return torch.cuda.get_device_name()


def table(args: argparse.Namespace) -> None:
    """Print medians and ratios of all measurements as JSON."""
    rows = [summary(line) for line in lines(args.work / "peer.jsonl")]
    rows.sort(key=position)
    print(json.dumps(rows, indent=1))


def position(row: dict) -> tuple[bool, int, int, int]:
    """Sorts by device, data set, model and threads."""
    return row["device"] != "cpu", DATA.index(row["data"]), NAMES.index(row["model"]), row["threads"]


def summary(result: dict) -> dict:
    """Medians of both processes, and how many times more MMRec takes."""
    row = {key: result[key] for key in ("data", "model", "device", "threads", "batch_size", "width")}
    ours, peer = result["ours"], result["peer"]
    for kind, name in (("epochs", "epoch"), ("evaluations", "evaluation")):
        for clock in ("seconds", "cpu_seconds"):
            row[f"{name}_{clock}"] = compare(
                median_after_first(ours[kind], clock), median_after_first(peer[kind], clock)
            )
    row["build_seconds"] = compare(build_seconds(ours), build_seconds(peer))
    row["peak_megabytes"] = compare(peak_megabytes(ours), peak_megabytes(peer))
    for side in ("ours", "peer"):
        if "failure" in result[side]:
            row[f"{side}_failure"] = result[side]["failure"]
    return row


def build_seconds(side: dict) -> float | None:
    return side["build"]["seconds"] if "build" in side else None


def peak_megabytes(side: dict) -> float | None:
    return side["peak_bytes"] / 1e6 if "peak_bytes" in side else None


def compare(ours: float | None, peer: float | None) -> dict:
    ours, peer = rounded(ours), rounded(peer)
    return {"ours": ours, "peer": peer, "ratio": ratio(ours, peer)}


def plot(args: argparse.Namespace) -> None:
    """Draw the ratio of the epochs per model and data set, on a logarithmic axis."""
    from matplotlib import pyplot

    rows = [row for row in json.loads((HERE / "peer.json").read_text()) if row["epoch_seconds"]["ratio"]]
    figure, axes = pyplot.subplots(figsize=(7, 0.35 * len(rows) + 1))
    labels = [
        f"{row['model']}, {row['data']}, " + (f"{row['threads']} threads" if row["device"] == "cpu" else "GPU")
        for row in rows
    ]
    axes.barh(labels[::-1], [row["epoch_seconds"]["ratio"] for row in rows[::-1]])
    axes.set(xscale="log", xlabel="seconds per epoch, MMRec / prismrec")
    figure.tight_layout()
    figure.savefig(args.out)


def page(_: argparse.Namespace) -> None:
    """Print docs/performance.md from performance_head.md and the result files."""
    print(performance_page(), end="")


def add_options(command: Command, sub: argparse.ArgumentParser) -> None:
    if command in (run, table):
        sub.add_argument("--work", type=Path, required=True, help="folder of the data (data.py) and of the results")
    if command is run:
        sub.add_argument("--peer", type=Path, required=True, help="a checkout of enoche/MMRec at e775373")
        sub.add_argument("--data", nargs="*", default=DATA, choices=DATA)
        sub.add_argument("--models", nargs="*", default=NAMES, choices=NAMES)
        sub.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
        sub.add_argument("--threads", type=int, default=os.cpu_count())
        sub.add_argument("--epochs", type=int, default=3, help="measured epochs, after one to warm up")
        sub.add_argument("--evaluations", type=int, default=3, help="measured evaluations, after one to warm up")
    if command is plot:
        sub.add_argument("--out", type=Path, required=True)


if __name__ == "__main__":
    run_command(__doc__, (run, table, plot, page), add_options)
