"""prismrec beside MMRec: the same data, batch size, widths and threads, an epoch of one and then one of the other.

    python benchmarks/data.py --data ../shared/data --work /tmp/bench
    python benchmarks/peer.py run --peer ../MMRec --work /tmp/bench [--data tiktok baby] [--models LGMRec] [--threads 2]
    python benchmarks/peer.py table --work /tmp/bench > benchmarks/peer.json
    python benchmarks/peer.py plot --out docs/peer.svg
    python benchmarks/peer.py page > docs/performance.md

Each side is a process of its own, so its peak memory is its own; with `--device cuda` it is what PyTorch holds of the
GPU's. One epoch each warms up; the medians are of those after it. Every pair of a data set and a model appends one line
to WORK/peer.jsonl, and one that is there already is not measured again. A side that fails is recorded as failed, with
its last line of output.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from measured import Command, append, lines, markdown, run_command

HERE = Path(__file__).parent
DATA = ("tiktok", "baby", "clothing", "clothing-82", "clothing-half")
BATCH_SIZE, WIDTH = 2048, 64


@dataclass(frozen=True)
class Pair:
    """One model as both sides call and configure it."""

    ours: str
    peer: str
    our_config: dict[str, object]
    peer_config: dict[str, object]
    precision: str = "float32"
    """Of our products with features; the peer's are always float32."""

    @property
    def name(self) -> str:
        return self.ours if self.precision == "float32" else f"{self.ours} {self.precision}"


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


class Side:
    """A process that runs an epoch or an evaluation at each command."""

    def __init__(self, script: str, words: list[str], threads: int, log: Path, **more: str) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)} | more
        self.log = log
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / script), "--threads", str(threads), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("w"),
            text=True,
            env=environment,
        )
        self.failure: str | None = None

    def answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            last = ([*self.log.read_text().strip().splitlines(), ""])[-1 if self.log.stat().st_size else 0]
            self.failure = f"exit {code}: {last}"
        return json.loads(line) if line else {}

    def ask(self, command: str) -> dict:
        """The answer, or nothing from a side that has failed."""
        if self.failure is None:
            with contextlib.suppress(BrokenPipeError):  # told by the answer, which does not come
                print(command, file=self.process.stdin, flush=True)
            return self.answer()
        return {}


def measure(data: str, pair: Pair, args: argparse.Namespace) -> dict:
    """One line of the results."""
    sides = {}
    for name, script, model, config, more in (
        (
            "ours",
            "side_ours.py",
            pair.ours,
            {"batch_size": BATCH_SIZE, "embedding_size": WIDTH} | pair.our_config,
            ["--precision", pair.precision],
        ),
        (
            "peer",
            "side_peer.py",
            pair.peer,
            {"train_batch_size": BATCH_SIZE, "embedding_size": WIDTH} | pair.peer_config,
            ["--peer", str(args.peer.resolve())],
        ),
    ):
        words = ["--model", model, "--config", json.dumps(config), "--data", str(args.work / data)]
        words += ["--device", args.device, *more]
        sides[name] = Side(script, words, args.threads, args.work / f"{data}-{pair.name}-{name}.log")
        first = sides[name].answer()  # one side builds at a time
        sides[name].found = {"config": config, **first, "epochs": [], "evaluations": []}
    for kind, command, count in (("epochs", "epoch", args.epochs), ("evaluations", "evaluate", args.evaluations)):
        for _ in range(count + 1):
            for side in sides.values():
                if found := side.ask(command):
                    side.found[kind].append(found)
    result = {"data": data, "model": pair.name, "device": device_name(args), "threads": args.threads}
    result |= {"batch_size": BATCH_SIZE, "width": WIDTH}
    for name, side in sides.items():
        result[name] = side.found | side.ask("quit") | ({"failure": side.failure} if side.failure else {})
        side.process.communicate()  # the end of its commands ends it
    return result


def run(args: argparse.Namespace) -> None:
    """Measure whatever is missing."""
    path = args.work / "peer.jsonl"
    device = device_name(args)
    known = {(line["data"], line["model"], line["device"], line["threads"]) for line in lines(path)}
    for data in args.data:
        for pair in PAIRS:
            if (args.models and pair.name not in args.models) or (data, pair.name, device, args.threads) in known:
                continue
            result = measure(data, pair, args)
            append(path, result)
            print(json.dumps(summary(result)), flush=True)


def table(args: argparse.Namespace) -> None:
    """Medians and ratios of all that has been measured, in the order of `DATA` and `PAIRS`."""
    names = [pair.name for pair in PAIRS]
    rows = [summary(line) for line in lines(args.work / "peer.jsonl")]
    rows.sort(
        key=lambda row: (row["device"] != "cpu", DATA.index(row["data"]), names.index(row["model"]), row["threads"])
    )
    print(json.dumps(rows, indent=1))


def page(_: argparse.Namespace) -> None:
    """Print docs/performance.md from performance_head.md, peer.json, kernels.json and limits.json."""
    head = (HERE / "performance_head.md").read_text(encoding="utf-8")
    rows = json.loads((HERE / "peer.json").read_text())
    parts = [
        markdown(columns("peer"), [peer_cells(row, digits) for row in rows if (row["device"] == "cpu") == cpu])
        for cpu, digits in ((True, 2), (False, 3))
    ]
    machine = json.loads((HERE / "limits.json").read_text())
    cells = [
        [
            line["data"],
            str(line["threads"]),
            each["operation"],
            *(f"{each[key]:.0f} {each['unit']}" for key in ("rate", "machine")),
            f"{each['share']:.0%}",
        ]
        for line in machine
        for each in line["limits"]
    ]
    parts.append(markdown(["data", "threads", "operation", "reached", "machine", "share"], cells))
    kernels = json.loads((HERE / "kernels.json").read_text())
    parts.append(markdown(columns("without"), [peer_cells(row) for row in kernels]))
    for place, part in zip(("PEER_TABLE", "GPU_TABLE", "LIMITS_TABLE", "KERNELS_TABLE"), parts, strict=True):
        head = head.replace(place, part)
    print(head, end="")


def columns(other: str) -> list[str]:
    measured = [("epoch, s", "s"), ("evaluation, s", "s"), ("peak, MB", "MB")]
    return [
        "data",
        "model",
        "threads",
        *(word for what, unit in measured for word in (what, f"{other}, {unit}", "ratio")),
    ]


def peer_cells(row: dict, digits: int = 2) -> list[str]:
    cells = [row["data"], row["model"], str(row["threads"])]
    for kind, places in (("epoch_seconds", digits), ("evaluation_seconds", digits), ("peak_megabytes", 0)):
        cells += ["–" if row[kind][side] is None else f"{row[kind][side]:.{places}f}" for side in ("ours", "peer")]
        cells.append("–" if row[kind]["ratio"] is None else f"{row[kind]['ratio']:.1f} ×")
    return cells


def plot(args: argparse.Namespace) -> None:
    """A bar per model and data set: how many times faster an epoch is, on a logarithmic axis."""
    from matplotlib import pyplot

    rows = [row for row in json.loads((HERE / "peer.json").read_text()) if row["epoch_seconds"]["ratio"]]
    figure, axes = pyplot.subplots(figsize=(7, 0.35 * len(rows) + 1))
    labels = [
        f"{row['model']}, {row['data']}, " + (f"{row['threads']} threads" if row["device"] == "cpu" else "GPU")
        for row in rows
    ]
    axes.barh(labels[::-1], [row["epoch_seconds"]["ratio"] for row in rows[::-1]])
    axes.set(xscale="log", xlabel="seconds per epoch, peer / ours")
    figure.tight_layout()
    figure.savefig(args.out)


def summary(result: dict) -> dict:
    row = {key: result[key] for key in ("data", "model", "device", "threads", "batch_size", "width")}
    sides = [result["ours"], result["peer"]]
    for kind, name in (("epochs", "epoch"), ("evaluations", "evaluation")):
        for clock in ("seconds", "cpu_seconds"):
            row[f"{name}_{clock}"] = both([middle(side[kind], clock) for side in sides])
    row["build_seconds"] = both([side.get("build", {}).get("seconds") for side in sides])
    row["peak_megabytes"] = both([side["peak_bytes"] / 1e6 if "peak_bytes" in side else None for side in sides])
    return row | {f"{name}_failure": result[name]["failure"] for name in ("ours", "peer") if "failure" in result[name]}


def device_name(args: argparse.Namespace) -> str:
    """The name of the GPU, or "cpu"."""
    if args.device == "cpu":
        return "cpu"
    import torch

    return torch.cuda.get_device_name()


def middle(measured: list[dict], clock: str) -> float | None:
    return median(each[clock] for each in measured[1:]) if len(measured) > 1 else None


def both(values: list[float | None]) -> dict:
    ours, peer = (None if value is None else round(value, 4) for value in values)
    return {"ours": ours, "peer": peer, "ratio": round(peer / ours, 2) if ours and peer else None}


def add_options(command: Command, sub: argparse.ArgumentParser) -> None:
    if command in (run, table):
        sub.add_argument("--work", type=Path, required=True, help="where data.py put the data, and results go")
    if command is run:
        sub.add_argument("--peer", type=Path, required=True, help="a checkout of enoche/MMRec at e775373")
        sub.add_argument("--data", nargs="*", default=DATA, choices=DATA)
        sub.add_argument("--models", nargs="*", choices=[pair.name for pair in PAIRS])
        sub.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
        sub.add_argument("--threads", type=int, default=os.cpu_count())
        sub.add_argument("--epochs", type=int, default=3, help="after one to warm up")
        sub.add_argument("--evaluations", type=int, default=3, help="after one to warm up")
    if command is plot:
        sub.add_argument("--out", type=Path, required=True)


if __name__ == "__main__":
    run_command(__doc__, (run, table, plot, page), add_options)
