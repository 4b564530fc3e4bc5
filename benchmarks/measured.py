"""What the scripts share: the clocks, measurements as JSON lines that an interrupted series goes on from, a table."""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

Command = Callable[[argparse.Namespace], None]


class Clock:
    """Two clocks at once: the wall's, and the processor time of this process, which others disturb less.

    With the device "cuda" they are read when all is done that was asked for before: a GPU works on while the host does.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._wait()
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        self._wait()
        return {"seconds": time.perf_counter() - self.wall, "cpu_seconds": time.process_time() - self.cpu}

    def _wait(self) -> None:
        if self.device == "cuda":
            import torch

            torch.cuda.synchronize()


def run_command(doc: str | None, commands: tuple[Command, ...], add_options: Callable) -> None:
    """Do what the command line says; `add_options(command, parser)` adds the options of each command."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = parser.add_subparsers(required=True)
    for command in commands:
        sub = known.add_parser(command.__name__)
        sub.set_defaults(command=command)
        add_options(command, sub)
    args = parser.parse_args()
    args.command(args)


def append(path: Path, result: dict) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def markdown(columns: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [columns, ["---"] * len(columns), *rows])
