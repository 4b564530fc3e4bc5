"""`prismrec bench`: what this machine does in a second."""

import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table

from prismrec.cli.machine import check_machine_words
from prismrec.data import Dataset, load
from prismrec.experiments.bench import Timing, time_model
from prismrec.experiments.limits import Limit, measure_limits
from prismrec.experiments.made_up import made_up
from prismrec.models import canonical_name

_MODELS = ["MF-BPR", "LightGCN", "VBPR", "LGMRec"]
_WIDTHS = {"image": 512, "text": 384}


def bench(
    source: Annotated[
        Path | None, typer.Argument(help="A data set; made up at random if not given.", show_default=False)
    ] = None,
    model: Annotated[list[str], typer.Option(help="A model to time; may be repeated.")] = _MODELS,
    epochs: Annotated[int, typer.Option(help="Epochs to time, after one to warm up.", min=1)] = 1,
    limits: Annotated[bool, typer.Option(help="Time the shared operations beside the machine's own.")] = True,
    users: Annotated[int, typer.Option(help="Of the made-up data.")] = 10_000,
    items: Annotated[int, typer.Option(help="Of the made-up data.")] = 5_000,
    interactions: Annotated[int, typer.Option(help="Training pairs of the made-up data.")] = 60_000,
    device: Annotated[str, typer.Option(help="For the models: auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="Of products with features: float32 or bf16.")] = "float32",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Time an epoch and an evaluation of some models, and the shared operations beside the limits of the machine."""
    check_machine_words(device, precision)
    names = [canonical_name(each) for each in model]
    dataset = load(source) if source else made_up(users, items, interactions, _WIDTHS)
    timings = [time_model(name, dataset, epochs=epochs, device=device, precision=precision) for name in names]
    measured = measure_limits(dataset) if limits else []
    if as_json:
        typer.echo(json.dumps({**_machine(), **_report(dataset, timings, measured)}, ensure_ascii=False))
    else:
        _show(dataset, timings, measured)


def _machine() -> dict[str, Any]:
    return {"platform": platform.platform(), "torch": torch.__version__, "threads": torch.get_num_threads()}


def _report(dataset: Dataset, timings: list[Timing], measured: list[Limit]) -> dict[str, Any]:
    return {
        "data": dataset.name,
        "users": dataset.train.num_users,
        "items": dataset.train.num_items,
        "interactions": len(dataset.train),
        "models": [asdict(timing) for timing in timings],
        "limits": [{**asdict(limit), "share": limit.share} for limit in measured],
    }


def _show(dataset: Dataset, timings: list[Timing], measured: list[Limit]) -> None:
    console, train = Console(), dataset.train
    title = f"{dataset.name}: {train.num_users:,} users, {train.num_items:,} items, {len(train):,} training pairs"
    table = Table("model", "seconds per epoch", "per evaluation", "peak MB so far", title=title, title_justify="left")
    for timing in timings:
        peak = "" if timing.peak_bytes is None else f"{timing.peak_bytes / 1e6:,.0f}"
        table.add_row(timing.model, f"{timing.epoch_seconds:.3f}", f"{timing.evaluation_seconds:.3f}", peak)
    console.print(table)
    if not measured:
        return
    table = Table("operation", "ms", "reached", "machine", "share", title="beside the machine's own copy and product")
    for limit in measured:
        rates = (f"{limit.rate:.1f} {limit.unit}", f"{limit.machine:.1f} {limit.unit}")
        table.add_row(limit.operation, f"{limit.seconds * 1e3:.2f}", *rates, f"{limit.share:.0%}")
    console.print(table)
