"""`prismrec evaluate`: compute the metrics of a finished run."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prismrec.cli.options import AsJson, print_note
from prismrec.cli.output import json_ready
from prismrec.cli.tables import print_groups, print_metrics
from prismrec.errors import InputError

if TYPE_CHECKING:
    from prismrec.runs import Run

RunFolder = Annotated[Path, typer.Argument(help="A run directory.", show_default=False)]


def evaluate(
    run: RunFolder,
    split: Annotated[str, typer.Option(help="valid or test.")] = "test",
    cutoffs: Annotated[str, typer.Option("--cutoffs", "-k", help="List lengths, separated by commas.")] = "5,10,20,50",
    mask_valid: Annotated[
        bool, typer.Option("--mask-valid", help="For the test split, also leave validation items out of the lists.")
    ] = False,
    groups: Annotated[
        int, typer.Option(help="Also report groups of users by activity: the number of groups.", min=0)
    ] = 0,
    item_groups: Annotated[
        int, typer.Option(help="Also report groups of held-out items by popularity: the number of groups.", min=0)
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Compute the metrics of a run: rank all items but the training items for every user of a held-out split."""
    from prismrec.evaluation import ItemGroups, UserGroups

    finished = load(run)
    evaluation = finished.evaluate(
        split,
        cutoffs=_parse_cutoffs(cutoffs),
        mask_valid=mask_valid,
        groups=UserGroups.by_quantile(finished.train, groups) if groups else None,
        item_groups=ItemGroups.by_popularity(finished.train, item_groups) if item_groups else None,
    )
    by_group = evaluation.by_group() if groups else {}
    if as_json:
        answer = {
            "model": finished.manifest.model,
            "data": finished.manifest.data,
            "split": split,
            "users": evaluation.num_users,
            **evaluation.to_dict(),
        }
        if groups:
            answer["groups"] = {label: each.to_dict() for label, each in by_group.items()}
        if item_groups:
            answer["item_groups"] = {label: each.to_dict() for label, each in evaluation.by_item_group.items()}
        typer.echo(json.dumps(json_ready(answer)))
        return
    print_metrics(f"{finished.manifest.model}, {split}, {evaluation.num_users:,} users", evaluation)
    if groups:
        print_groups("training items of the user", by_group)
    if item_groups:
        print_groups("training users of the held-out item", evaluation.by_item_group)


def load(folder: Path, *, exact: bool = False) -> "Run":
    """Load a run and print its warnings on standard error.

    Args:
        folder: the run directory.
        exact: whether to search all items even if the run has an index.

    Raises:
        InputError: the folder is not a finished run.
    """
    from prismrec.runs import Run

    run = Run.load(folder, exact=exact)
    for warning in run.warnings:
        print_note(warning)
    return run


def _parse_cutoffs(text: str) -> list[int]:
    """List lengths from "10,20".

    Raises:
        InputError: a part is not an integer above 0.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch("[1-9][0-9]{0,8}", part) for part in parts):
        raise InputError("--cutoffs", repr(text), "integers above 0, separated by commas: 10,20")
    return [int(part) for part in parts]
