"""`prismrec refit`: train the model of a run again, on all interactions, for production."""

from pathlib import Path
from typing import Annotated

import typer

from prismrec.cli.evaluate import RunFolder, load
from prismrec.cli.source import DataOptions, SplitSeed, with_data_options
from prismrec.cli.train import AsJson, Out

_DATA_HELP = "The data set of the run: a folder, or the file of interactions in it."

_INIT_HELP = "The run whose weights the run started from, if it was moved."


@with_data_options(split_seed=SplitSeed)
def refit(
    run: RunFolder,
    data: Annotated[Path, typer.Option("--data", help=_DATA_HELP, show_default=False)],
    out: Out,
    init: Annotated[Path | None, typer.Option("--init", help=_INIT_HELP, show_default=False, metavar="RUN")] = None,
    as_json: AsJson = False,
    *,
    options: DataOptions,
) -> None:
    """Train on training, validation and test interactions, for as many epochs as the best one of the run."""
    import json

    from prismrec.cli.progress import EpochLines
    from prismrec.experiments.refit import refit as refit_run

    old = load(run)
    dataset = options.read(data)
    with EpochLines(old.manifest.settings) as lines:
        new = refit_run(old, dataset, out, init=init, callbacks=[lines])
    if as_json:
        answer = {"run": str(out), "model": new.manifest.model, "epochs": len(new.history)}
        typer.echo(json.dumps({**answer, "interactions": len(new.train)}))
        return
    typer.echo(
        f"{new.manifest.model} on {new.manifest.data}: {len(new.history)} epochs on {len(new.train):,} interactions; "
        f"run in {out}"
    )
