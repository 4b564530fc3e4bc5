"""The message after an interrupted training."""

import shlex
import sys
from pathlib import Path

import typer


def print_how_to_resume(out: Path, *, can_finish: bool = True) -> None:
    """Print the commands that continue or finish the training of this process.

    Args:
        out: the run directory.
        can_finish: whether the command has the option --epochs, which finishes the run as it is.
    """
    from prismrec.experiments.run_folder import saved_epochs

    epochs = saved_epochs(out)
    words = [word for word in sys.argv[1:] if word not in ("--overwrite", "--resume")]
    resume = shlex.join(["prismrec", *words, "--resume"])
    if not epochs:
        typer.echo(f"prismrec: stopped in the first epoch; start again: {resume}", err=True)
        return
    typer.echo(f"prismrec: stopped after epoch {epochs}; continue: {resume}", err=True)
    if can_finish:
        typer.echo(f"prismrec: or finish the run as it is: {resume} --epochs {epochs}", err=True)
