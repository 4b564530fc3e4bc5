"""Runs commands in this process and checks what every call must keep, for tests with damaged input.

PRISMREC_FUZZ_CASES sets the number of cases of each test; the cases then differ from run to run.
"""

import contextlib
import io
import os
import resource
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from unittest.mock import patch

import numpy as np
import polars as pl
from hypothesis import HealthCheck, settings

import prismrec
from prismrec.cli import main

CASES = os.environ.get("PRISMREC_FUZZ_CASES")
FUZZ = settings(deadline=None, derandomize=CASES is None, suppress_health_check=list(HealthCheck), database=None)
SECONDS = 60
MEMORY = 2**30
_HARMLESS = ("note: ", "prismrec: note: ", "epoch ", "wrote ", "table ", "estimate: ", "trials: ")
"""How lines on standard error begin that are no errors."""


@dataclass(frozen=True)
class Result:
    """What one call of the command line did."""

    code: int
    out: str
    err: str


def call(words: list[str]) -> Result:
    """Run a command in this process, with streams like those of a real one.

    Raises:
        AssertionError: an exit code other than 0 and 2, a traceback, or an error that is neither one line nor a usage.
        TimeoutError: no end after a minute.
        MemoryError: one GB more memory than before.
    """
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)
    code: int | str | None = 0
    with (
        patch.object(sys, "argv", ["prismrec", *words]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        _time_limit(words),
        _memory_limit(),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    result = Result(int(code or 0), out.buffer.getvalue().decode(), err.buffer.getvalue().decode())
    _check_ending(result, words)
    return result


def _check_ending(result: Result, words: list[str]) -> None:
    errors = [line for line in result.err.splitlines() if not line.startswith(_HARMLESS)]
    assert "Traceback" not in result.err, words
    assert result.code in (0, 2), (words, result)
    if result.code == 0:
        assert errors == [], (words, errors)
    elif not any(line.startswith(("Usage: ", "╭─ Error")) for line in errors):
        assert len(errors) == 1 or (errors and words[0] == "check"), (words, errors)  # one line per problem
        assert all(line.startswith("prismrec: ") for line in errors), (words, errors)


@contextlib.contextmanager
def _time_limit(words: list[str]) -> Iterator[None]:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"no end after {SECONDS} s: {words}")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _memory_limit() -> Iterator[None]:
    """Let allocations fail if the process needs more memory than it has now and the limit.

    Commands lower the limit of the data segment themselves; the next case gets the one before.
    """
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    data = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        resource.setrlimit(resource.RLIMIT_DATA, data)


def write_shop(root: Path) -> None:
    """A folder `shop` with a small data set, and two runs on other data, `run-a` and `run-b`."""
    for name, items in (("a", 9), ("b", 8)):
        rng = np.random.default_rng(items)
        pairs = {"user": [f"u{i % 7}" for i in range(60)], "item": [f"i{rng.integers(items)}" for _ in range(60)]}
        catalog = {"item_id": [f"i{i}" for i in range(items)], "title": ["[red]mug"] * items, "price": [1.5] * items}
        dataset = prismrec.dataset(pairs, catalog, {"image": rng.normal(size=(items, 4))}, name=name)
        prismrec.train("VBPR", dataset, settings=prismrec.Settings(epochs=2, device="cpu"), out=root / f"run-{name}")
    (root / "shop" / "features").mkdir(parents=True)
    clicks = pl.DataFrame(pairs | {"time": range(60), "rating": [i % 5 for i in range(60)]})
    clicks.write_csv(root / "shop" / "interactions.csv")
    pl.DataFrame(catalog).write_csv(root / "shop" / "items.csv")
    np.savez(root / "shop" / "features" / "image.npz", ids=catalog["item_id"], features=rng.normal(size=(items, 4)))
