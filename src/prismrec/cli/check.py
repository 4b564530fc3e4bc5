"""`prismrec check`: check every file of a finished run."""

import sys

import typer

from prismrec.cli.evaluate import RunFolder


def check(run: RunFolder) -> None:
    """Check that all files of a run are unchanged and belong together; exit code 2 if not."""
    from prismrec.runs import find_problems

    problems = find_problems(run)
    for problem in problems:
        print(f"prismrec: {problem}", file=sys.stderr)
    if problems:
        raise typer.Exit(2)
    typer.echo(f"{run}: a complete run; all files are unchanged and belong together")
