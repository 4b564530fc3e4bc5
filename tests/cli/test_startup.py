"""The command line starts without the heavy packages."""

import subprocess
import sys

import pytest

HEAVY = {"numpy", "polars", "prismrec.data", "prismrec.types", "scipy", "sklearn", "torch"}
RUN = """
import sys
from prismrec.cli import app
try:
    if sys.argv[1:]:
        app()
finally:
    print("\\n" + " ".join(sys.modules))
"""


def modules_loaded_by(*words: str) -> set[str]:
    command = [sys.executable, "-c", RUN, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_command_line_loads_no_heavy_package() -> None:
    loaded = modules_loaded_by()
    assert "prismrec.cli.train" in loaded
    assert loaded & (HEAVY | {"pydantic", "rich"}) == set()


@pytest.mark.parametrize("words", [("--help",), ("train", "--help"), ("data", "describe", "--help")])
def test_printing_help_loads_no_heavy_package(words: tuple[str, ...]) -> None:
    """Rich and pydantic are exceptions, because typer itself may load them to print help."""
    loaded = modules_loaded_by(*words)
    assert "prismrec.cli.train" in loaded
    assert loaded & HEAVY == set()
