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
    words = ["prismrec", *[word for word in sys.argv[1:] if word not in ("--overwrite", "--resume")], "--resume"]
    resume = shlex.join(words)
    if not epochs:
        typer.echo(f"prismrec: stopped in the first epoch; start again: {resume}", err=True)
        return
    typer.echo(f"prismrec: stopped after epoch {epochs}; continue: {resume}", err=True)
    if can_finish:
        finish = shlex.join([*_without_epochs(words), "--epochs", str(epochs)])
        typer.echo(f"prismrec: or finish the run as it is: {finish}", err=True)


def _without_epochs(words: list[str]) -> list[str]:
    """The words of a command without its option --epochs."""
    kept = [word for word in words if not word.startswith("--epochs=")]
    if "--epochs" in kept:
        place = kept.index("--epochs")
        del kept[place : place + 2]
    return kept
