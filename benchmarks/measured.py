"""Clocks, result files and command lines of the benchmark scripts."""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

Command = Callable[[argparse.Namespace], None]


class Clock:
    """Measures wall time and the processor time of this process, which other processes disturb less.

    With the device "cuda", both readings first wait until the GPU has finished its queued work.
    """

    def __init__(self, device: str = "cpu") -> None:
        """Start the clock."""
        self.device = device
        self._wait()
        self.wall = time.perf_counter()
        self.cpu = time.process_time()

    def read(self) -> dict[str, float]:
        """Seconds since the start."""
        self._wait()
        return {"seconds": time.perf_counter() - self.wall, "cpu_seconds": time.process_time() - self.cpu}

    def _wait(self) -> None:
        if self.device == "cuda":
            import torch

            torch.cuda.synchronize()


def run_command(doc: str | None, commands: tuple[Command, ...], add_options: Callable) -> None:
    """Run one of the commands from the command line; `add_options(command, parser)` adds the options of each."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in commands:
        first_line = (command.__doc__ or "").strip().splitlines()[0]
        sub = subparsers.add_parser(command.__name__, help=first_line, description=command.__doc__)
        sub.set_defaults(command=command)
        add_options(command, sub)
    args = parser.parse_args()
    args.command(args)


def append(path: Path, result: dict) -> None:
    """Add one line of JSON to a file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")


def lines(path: Path) -> list[dict]:
    """The lines of a file as objects; none if the file does not exist."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def markdown(columns: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [columns, ["---"] * len(columns), *rows])
