"""`prismrec update`: add items, users and clicks to a run, without training or with a few more epochs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prismrec.cli.evaluate import RunFolder, load
from prismrec.cli.options import Quiet
from prismrec.cli.train import AsJson, Out, Overwrite

if TYPE_CHECKING:
    from prismrec.runs import Run

_ITEMS_HELP = "A folder with new items: items.csv, and pictures and texts or features/, as in a data set."
_CLICKS_HELP = "A table with new interactions of known and new users."
_EPOCHS_HELP = "Epochs to train from the weights of the run; 0 does not train."
_DATA_HELP = "The data set of the run, which --epochs needs for a run with features."


def update(
    run: RunFolder,
    out: Out,
    items: Annotated[Path | None, typer.Option("--items", help=_ITEMS_HELP)] = None,
    interactions: Annotated[Path | None, typer.Option("--interactions", help=_CLICKS_HELP)] = None,
    epochs: Annotated[int, typer.Option("--epochs", help=_EPOCHS_HELP, min=0)] = 0,
    data: Annotated[Path | None, typer.Option("--data", help=_DATA_HELP)] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Add items, users and interactions to a run, and write the result as a new run."""
    from prismrec.cli.progress import EpochLines
    from prismrec.data import load as load_data
    from prismrec.data import load_clicks, load_items
    from prismrec.experiments.update import update as update_run

    old = load(run)
    if items is not None:
        _encode(items, old, quiet=quiet or as_json)
    new_items = None if items is None else load_items(items)
    clicks = None if interactions is None else load_clicks(interactions)
    dataset = None if data is None else load_data(data)
    settings = old.manifest.settings.model_copy(update={"epochs": max(epochs, 1)})
    with EpochLines(settings, show="nothing" if quiet else "auto") as lines:
        new = update_run(
            old,
            out,
            items=new_items,
            clicks=clicks,
            epochs=epochs,
            dataset=dataset,
            callbacks=[lines],
            overwrite=overwrite,
        )
    notes = () if new_items is None or quiet else new_items.notes
    _report(old, new, out, notes, as_json=as_json)


def _report(old: "Run", new: "Run", out: Path, notes: Sequence[str], *, as_json: bool) -> None:
    """Say what was added."""
    import json

    added = {
        "items": len(new.items) - len(old.items),
        "users": len(new.users) - len(old.users),
        "interactions": len(new.train) - len(old.train),
    }
    if as_json:
        typer.echo(json.dumps({"run": str(out), **added}))
        return
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    listed = ", ".join(f"{count:,} {name}" for name, count in added.items())
    typer.echo(f"{new.manifest.model} on {new.manifest.data}: added {listed}; run in {out}")


def _encode(items: Path, run: "Run", *, quiet: bool) -> None:
    """Make features of the texts and pictures of new items, with the encoders of the run."""
    from prismrec.cli.progress import EncodingLines
    from prismrec.content import encode_like

    with EncodingLines(quiet=quiet) as lines:
        made = encode_like(items, run.encodings, progress=lines.report)
    for name, encoded in () if quiet else made.items():
        counts = f"{encoded.manifest.encoded:,} of {encoded.manifest.items:,} items"
        typer.echo(f"{name}: {counts} encoded by {encoded.manifest.encoder}", err=True)
