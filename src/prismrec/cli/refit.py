"""`prismrec refit`: train the model of a run again, on all interactions, for production."""

from pathlib import Path
from typing import Annotated

import typer

from prismrec.cli.evaluate import RunFolder, load
from prismrec.cli.options import AsJson, Quiet
from prismrec.cli.source import DataOptions, SplitSeed, with_data_options
from prismrec.cli.train import Out, Overwrite
from prismrec.cli.training import given
from prismrec.words import count

_DATA_HELP = "The data set of the run: a folder, or the file of interactions in it."

_RESUME_HELP = "Continue the interrupted run in --out."
_INIT_HELP = "The run whose weights the run started from, if it was moved."


@with_data_options(split_seed=SplitSeed)
def refit(
    context: typer.Context,
    run: RunFolder,
    data: Annotated[Path, typer.Option("--data", help=_DATA_HELP, show_default=False)],
    out: Out,
    init: Annotated[Path | None, typer.Option("--init", help=_INIT_HELP, show_default=False, metavar="RUN")] = None,
    resume: Annotated[bool, typer.Option("--resume", help=_RESUME_HELP)] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
    *,
    options: DataOptions,
) -> None:
    """Train the model of a run again, on all interactions including validation and test.

    The number of epochs is that of the best epoch of the run. The data set is read like that of the run: data options
    that are not given are those of the run.
    """
    import json

    from prismrec.cli.interrupted import print_how_to_resume
    from prismrec.cli.progress import EpochLines
    from prismrec.cli.run_file import like_run
    from prismrec.experiments.refit import refit as refit_run
    from prismrec.experiments.run_folder import check_out

    old = load(run)
    check_out(out, resume=resume, overwrite=overwrite)
    dataset = like_run(old.manifest, options, given(context)).read(data)
    try:
        with EpochLines(old.manifest.settings, show="nothing" if quiet else "auto") as lines:
            new = refit_run(old, dataset, out, init=init, callbacks=[lines], resume=resume, overwrite=overwrite)
    except KeyboardInterrupt as error:
        print_how_to_resume(out, can_finish=False)
        raise typer.Exit(130) from error
    if as_json:
        answer = {"run": str(out), "model": new.manifest.model, "epochs": len(new.history)}
        typer.echo(json.dumps({**answer, "interactions": len(new.train)}))
        return
    typer.echo(
        f"{new.manifest.model} on {new.manifest.data}: {count(len(new.history), 'epoch')} on "
        f"{count(len(new.train), 'interaction')}; run in {out}"
    )
