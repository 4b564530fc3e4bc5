"""`prismrec update`: add items, users and clicks to a run, without training or with a few more epochs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from prismrec.cli.evaluate import RunFolder, load
from prismrec.cli.options import AsJson, Quiet, print_note
from prismrec.cli.train import Out, Overwrite
from prismrec.words import count

if TYPE_CHECKING:
    from prismrec.runs import Run

_ITEMS_HELP = "A folder with new items: items.csv, and pictures and texts or features/, as in a data set."
_CLICKS_HELP = "A table with new interactions of known and new users."
_EPOCHS_HELP = "Epochs to train from the weights of the run; 0 does not train."
_USER_HELP = "Column with user ids, if it is neither that of the data set of the run nor a usual one."
_ITEM_HELP = "Column with item ids, likewise."
_UNKNOWN_HELP = "Refuse or drop interactions with items that the run lacks; as for the run if not given."
_DATA_HELP = "The data set of the run, which --epochs needs for a run with features."


def update(
    run: RunFolder,
    out: Out,
    items: Annotated[Path | None, typer.Option("--items", help=_ITEMS_HELP)] = None,
    interactions: Annotated[Path | None, typer.Option("--interactions", help=_CLICKS_HELP)] = None,
    user_column: Annotated[str | None, typer.Option("--user-column", help=_USER_HELP, show_default=False)] = None,
    item_column: Annotated[str | None, typer.Option("--item-column", help=_ITEM_HELP, show_default=False)] = None,
    unknown_items: Annotated[
        str | None, typer.Option("--unknown-items", help=_UNKNOWN_HELP, show_default=False)
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", help=_EPOCHS_HELP, min=0)] = 0,
    data: Annotated[Path | None, typer.Option("--data", help=_DATA_HELP)] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Add items, users and interactions to a run, and write the result as a new run."""
    from prismrec.cli.progress import EpochLines
    from prismrec.cli.run_file import like_run
    from prismrec.data import ColumnNames, load_items, read_clicks
    from prismrec.experiments.update import update as update_run

    old = load(run)
    origin = old.manifest.origin
    like = like_run(old.manifest)
    columns = ColumnNames(user=user_column, item=item_column)
    if items is not None:
        _encode(items, old, item_column or like.item_column, quiet=quiet or as_json)
    new_items = None if items is None else load_items(items, columns=columns if item_column else None, like=origin)
    clicks, of_clicks = (None, ()) if interactions is None else read_clicks(interactions, columns=columns, like=origin)
    dataset = None if data is None else like.read(data)
    settings = old.manifest.settings.model_copy(update={"epochs": max(epochs, 1)})
    with EpochLines(settings, show="nothing" if quiet else "auto") as lines:
        new = update_run(
            old,
            out,
            items=new_items,
            clicks=clicks,
            unknown_items=cast(Any, unknown_items or like.unknown_items),
            epochs=epochs,
            dataset=dataset,
            callbacks=[lines],
            overwrite=overwrite,
        )
    of_items = () if new_items is None else new_items.notes
    of_update = new.manifest.notes[len(old.manifest.notes) :]
    _report(old, new, out, () if quiet else (*of_items, *of_clicks, *of_update), as_json=as_json)


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
        print_note(note)
    listed = ", ".join(count(number, name.removesuffix("s")) for name, number in added.items())
    typer.echo(f"{new.manifest.model} on {new.manifest.data}: added {listed}; run in {out}")


def _encode(items: Path, run: "Run", item_column: str | None, *, quiet: bool) -> None:
    """Make features of the texts and pictures of new items, with the encoders of the run."""
    from prismrec.cli.progress import EncodingLines
    from prismrec.content import encode_like

    with EncodingLines(quiet=quiet) as lines:
        made = encode_like(items, run.encodings, item_column=item_column, progress=lines.report)
    for name, encoded in () if quiet else made.items():
        counts = f"{encoded.manifest.encoded:,} of {encoded.manifest.items:,} items"
        typer.echo(f"{name}: {counts} encoded by {encoded.manifest.encoder}", err=True)
