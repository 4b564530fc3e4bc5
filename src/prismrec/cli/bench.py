"""`prismrec bench`: how fast models and shared operations are on this machine."""

import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prismrec.cli.options import AsJson, check_device_and_precision

if TYPE_CHECKING:
    from prismrec.data import Dataset
    from prismrec.experiments.bench import Timing
    from prismrec.experiments.limits import Limit

_MODELS = ["MF-BPR", "LightGCN", "VBPR", "LGMRec"]
_WIDTHS = {"image": 512, "text": 384}


def bench(
    source: Annotated[
        Path | None, typer.Argument(help="A data set; random data if not given.", show_default=False)
    ] = None,
    model: Annotated[list[str], typer.Option(help="A model to time; may be repeated.")] = _MODELS,
    epochs: Annotated[int, typer.Option(help="Epochs to time, after one to warm up.", min=1)] = 1,
    limits: Annotated[bool, typer.Option(help="Also compare shared operations with the limits of the machine.")] = True,
    users: Annotated[int, typer.Option(help="Users of the random data.")] = 10_000,
    items: Annotated[int, typer.Option(help="Items of the random data.")] = 5_000,
    interactions: Annotated[int, typer.Option(help="Training pairs of the random data.")] = 60_000,
    device: Annotated[str, typer.Option(help="Device of the models: auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="Precision of products with features: float32 or bf16.")] = "float32",
    as_json: AsJson = False,
) -> None:
    """Time an epoch and an evaluation of some models, and compare shared operations with the machine's limits."""
    from prismrec.data import load
    from prismrec.experiments.bench import time_model
    from prismrec.experiments.limits import measure_limits
    from prismrec.experiments.synthetic import random_dataset
    from prismrec.models import find_model

    check_device_and_precision(device, precision)
    names = [find_model(each).name for each in model]
    dataset = load(source) if source else random_dataset(users, items, interactions, _WIDTHS)
    timings = [time_model(name, dataset, epochs=epochs, device=device, precision=precision) for name in names]
    measured = measure_limits(dataset) if limits else []
    if as_json:
        typer.echo(json.dumps({**_machine(), **_report(dataset, timings, measured)}, ensure_ascii=False))
    else:
        _show(dataset, timings, measured)


def _machine() -> dict[str, Any]:
    import torch

    return {"platform": platform.platform(), "torch": torch.__version__, "threads": torch.get_num_threads()}


def _report(dataset: "Dataset", timings: "list[Timing]", measured: "list[Limit]") -> dict[str, Any]:
    return {
        "data": dataset.name,
        "users": dataset.train.num_users,
        "items": dataset.train.num_items,
        "interactions": len(dataset.train),
        "models": [asdict(timing) for timing in timings],
        "limits": [{**asdict(limit), "share": limit.share} for limit in measured],
    }


def _show(dataset: "Dataset", timings: "list[Timing]", measured: "list[Limit]") -> None:
    from rich.table import Table

    from prismrec.cli.tables import literal, print_table

    train = dataset.train
    title = (
        f"{literal(dataset.name)}: {train.num_users:,} users, {train.num_items:,} items, {len(train):,} training pairs"
    )
    table = Table("model", "seconds per epoch", "per evaluation", "peak MB so far", title=title, title_justify="left")
    for timing in timings:
        peak = "" if timing.peak_bytes is None else f"{timing.peak_bytes / 1e6:,.0f}"
        table.add_row(timing.model, f"{timing.epoch_seconds:.3f}", f"{timing.evaluation_seconds:.3f}", peak)
    print_table(table)
    if not measured:
        return
    table = Table("operation", "ms", "reached", "machine", "share", title="relative to memory copy and matrix product")
    for limit in measured:
        reached = f"{limit.rate:.1f} {limit.unit}"
        machine = f"{limit.machine:.1f} {limit.unit}"
        table.add_row(limit.operation, f"{limit.seconds * 1e3:.2f}", reached, machine, f"{limit.share:.0%}")
    print_table(table)
