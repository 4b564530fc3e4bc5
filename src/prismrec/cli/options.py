"""Options and errors that several commands share."""

import re
import warnings
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Literal

import typer

from prismrec.errors import InputError, ParameterError, printable

_PREFIXES = {"config.": "--set ", "space.": "--space "}
"""Parameters of single hyperparameters, and the options that set them."""
_OPTIONS = {"k": "-k", "histories": "--history", "items": "ITEM", "mirror": "--from", "source": "SOURCE"}
"""Options and arguments that are not called like the parameter that they set."""


def _print_version(asked: bool) -> None:
    if asked:
        import prismrec

        typer.echo(f"prismrec {prismrec.__version__}")
        raise typer.Exit


def complete_model(incomplete: str) -> list[str]:
    """The names of models that start with a text, for the completion in a shell.

    Built-in models are found in their sources, because importing them takes a second.
    """
    names: list[str] = []
    for path in sorted((Path(__file__).parents[1] / "models").glob("*.py")):
        names += re.findall(r'^    name = "(.+)"$', path.read_text(encoding="utf-8"), flags=re.M)
    names += entry_points(group="prismrec.models").names
    return [name for name in names if name.lower().startswith(incomplete.lower())]


def print_note(text: str) -> None:
    """Print a note, which is no part of the output, on standard error."""
    typer.echo(format_note(text), err=True)


def format_note(text: str) -> str:
    """A note as one line."""
    return f"prismrec: note: {printable(text)}"


def _silence_notes(quiet: bool) -> bool:
    """Ignore warnings, which the command line prints as notes, for the rest of the process."""
    if quiet:
        warnings.simplefilter("ignore")
    return quiet


Version = Annotated[bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no notes.", callback=_silence_notes)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print a line per epoch and the notes on the data.")]


ENGINE_HELP = "local, or ray: the Ray cluster of RAY_ADDRESS, or else the cores of this machine."
EngineName = Annotated[str, typer.Option("--engine", help=ENGINE_HELP)]


def parse_engine(engine: str) -> Literal["ray"] | None:
    """The value of --engine.

    Raises:
        InputError: it is unknown.
    """
    if engine not in ("local", "ray"):
        raise InputError("--engine", repr(engine), "local or ray")
    return "ray" if engine == "ray" else None


def describe_error(error: InputError) -> str:
    """The message of an error, with the option in place of the parameter that the option sets."""
    if not isinstance(error, ParameterError):
        return str(error)
    name = error.parameter
    option = _OPTIONS.get(name, "--" + name.replace("_", "-"))
    for prefix, words in _PREFIXES.items():
        if name.startswith(prefix):
            option = words + name.removeprefix(prefix)
    return str(InputError(option, error.found, error.expected))


def check_device_and_precision(device: str, precision: str) -> None:
    """Check the values of --device and --precision.

    Raises:
        InputError: a value is unknown.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise InputError("--device", repr(device), "auto, cpu or cuda")
    if precision not in ("float32", "bf16"):
        raise InputError("--precision", repr(precision), "float32 or bf16")
