"""docs/performance.md from performance_head.md and the result files; `python benchmarks/peer.py page` prints it."""

import json
from pathlib import Path

from measured import markdown

HERE = Path(__file__).parent


def performance_page() -> str:
    """The text of the page, with a table in each place that performance_head.md names."""
    peer = read("peer.json")
    tables = {
        "PEER_TABLE": peer_table([row for row in peer if row["device"] == "cpu"], digits=2),
        "GPU_TABLE": peer_table([row for row in peer if row["device"] != "cpu"], digits=3),
        "BUSY_TABLE": busy_table(read("busy.json")),
        "KERNELS_TABLE": kernels_table(read("kernels.json")),
        "LIMITS_TABLE": limits_table(read("limits.json")),
    }
    text = (HERE / "performance_head.md").read_text(encoding="utf-8")
    for place, table in tables.items():
        text = text.replace(place, table)
    return text


def read(name: str) -> list[dict]:
    return json.loads((HERE / name).read_text(encoding="utf-8"))


def peer_table(rows: list[dict], digits: int) -> str:
    """Seconds and megabytes of both libraries, and their ratios."""
    columns = ["data", "model", "threads", "epoch, s", "MMRec, s", "ratio"]
    columns += ["evaluation, s", "MMRec, s", "ratio", "peak, MB", "MMRec, MB", "ratio"]
    cells = []
    for row in rows:
        epoch = compared(row["epoch_seconds"], digits)
        evaluation = compared(row["evaluation_seconds"], digits)
        peak = compared(row["peak_megabytes"], 0)
        cells.append([row["data"], row["model"], str(row["threads"]), *epoch, *evaluation, *peak])
    return markdown(columns, cells)


def compared(values: dict, digits: int) -> list[str]:
    """Three cells: prismrec, MMRec and the ratio."""
    return [number(values["ours"], digits), number(values["peer"], digits), times(values["ratio"])]


def number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def times(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.1f} ×"


def kernels_table(rows: list[dict]) -> str:
    """Ratios only. The seconds in kernels.json are of other runs than those of the other tables, so they differ."""
    columns = ["data", "model", "threads", "epoch", "evaluation", "peak memory"]
    measures = ("epoch_seconds", "evaluation_seconds", "peak_megabytes")
    cells = []
    for row in rows:
        ratios = [f"{row[measure]['ratio']:.2f}" for measure in measures]
        cells.append([row["data"], row["model"], str(row["threads"]), *ratios])
    return markdown(columns, cells)


def busy_table(rows: list[dict]) -> str:
    """Seconds per epoch with both ways to wait, and the adaptive seconds relative to the quiet ones."""
    columns = ["data", "model", "case", "spinning, s", "adaptive, s", "ratio", "adaptive / quiet"]
    quiet = {(row["data"], row["model"]): row["epoch_seconds"]["adaptive"] for row in rows if row["case"] == "quiet"}
    cells = []
    for row in rows:
        seconds = row["epoch_seconds"]
        relative = seconds["adaptive"] / quiet[row["data"], row["model"]]
        measured = [number(seconds["spinning"], 3), number(seconds["adaptive"], 3), times(seconds["ratio"])]
        cells.append([row["data"], row["model"], row["case"].replace("-", " "), *measured, f"{relative:.2f}"])
    return markdown(columns, cells)


def limits_table(measured: list[dict]) -> str:
    """The rate of each operation, the rate of the machine, and the quotient of both."""
    columns = ["data", "threads", "operation", "reached", "machine", "share"]
    cells = []
    for line in measured:
        for limit in line["limits"]:
            reached = f"{limit['rate']:.0f} {limit['unit']}"
            machine = f"{limit['machine']:.0f} {limit['unit']}"
            cells.append(
                [line["data"], str(line["threads"]), limit["operation"], reached, machine, f"{limit['share']:.0%}"]
            )
    return markdown(columns, cells)
