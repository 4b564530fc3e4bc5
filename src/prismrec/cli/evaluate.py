"""`prismrec evaluate`: measure a finished run."""

import json
from pathlib import Path
from typing import Annotated

import typer

from prismrec.cli.tables import metrics_table
from prismrec.errors import InputError
from prismrec.evaluation import UserGroups
from prismrec.experiments.run import Run as FinishedRun

Run = Annotated[Path, typer.Argument(help="A run directory.", show_default=False)]


def evaluate(
    run: Run,
    split: Annotated[str, typer.Option(help="valid or test.")] = "test",
    cutoffs: Annotated[str, typer.Option("--cutoffs", "-k", help="List lengths, separated by commas.")] = "5,10,20,50",
    mask_valid: Annotated[
        bool, typer.Option("--mask-valid", help="At test time, leave validation items out of the lists too.")
    ] = False,
    groups: Annotated[
        int, typer.Option(help="Also by activity: this many groups of users with about as many training items each.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Rank all items for every user of a held-out split; training items are left out of the lists."""
    lengths = cutoffs.split(",")
    if not all(length.strip().isdigit() and int(length) for length in lengths):
        raise InputError("--cutoffs", repr(cutoffs), "whole numbers above 0, separated by commas: 10,20")
    finished = FinishedRun.load(run)
    activity = UserGroups.by_quantile(finished.train, groups) if groups else None
    evaluation = finished.evaluate(
        split, cutoffs=[int(length) for length in lengths], mask_valid=mask_valid, groups=activity
    )
    by_group = evaluation.by_group() if groups else {}
    if as_json:
        head = {"model": finished.manifest.model, "data": finished.manifest.data, "split": split}
        parts = {label: {"users": each.num_users, **each.means} for label, each in by_group.items()}
        answer = {
            **head,
            "users": evaluation.num_users,
            **evaluation.to_dict(),
            **({"groups": parts} if groups else {}),
        }
        typer.echo(json.dumps(answer))
        return
    metrics_table(f"{finished.manifest.model}, {split}, {evaluation.num_users:,} users", evaluation)
    for label, each in by_group.items():
        metrics_table(f"{label} training items, {each.num_users:,} users", each.means)
