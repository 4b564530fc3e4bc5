"""Two processes that train the same model in turn, and the medians and ratios of their times."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
BATCH_SIZE, WIDTH = 2048, 64


class Side:
    """A process that trains one epoch, or evaluates once, per command.

    Attributes:
        first: its answer after it has built the model.
        epochs: the times of its epochs.
        evaluations: the times of its evaluations.
        last: its answer to `quit`, with its peak memory.
        failure: why it ended early; None if it did not.
    """

    def __init__(
        self,
        script: str,
        options: list[str],
        threads: int | None,
        log: Path,
        wrapper: Sequence[str] = (),
        **environment: str,
    ) -> None:
        """Start the process and wait until it has built its model.

        Args:
            script: side_ours.py or side_peer.py.
            options: of the script.
            threads: number of threads; None lets prismrec choose.
            log: file for its standard error.
            wrapper: a command that starts the command given as its further arguments.
            environment: further environment variables.
        """
        limits = {} if threads is None else {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        wanted = [] if threads is None else ["--threads", str(threads)]
        self.log = log
        self.process = subprocess.Popen(
            [*wrapper, sys.executable, str(HERE / script), *wanted, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("w"),
            text=True,
            env=os.environ | limits | environment,
        )
        self.failure: str | None = None
        self.epochs: list[dict] = []
        self.evaluations: list[dict] = []
        self.last: dict = {}
        self.first = self._answer()

    def epoch(self) -> None:
        """Train one epoch."""
        self._ask("epoch", self.epochs)

    def evaluate(self) -> None:
        """Evaluate once."""
        self._ask("evaluate", self.evaluations)

    def quit(self) -> None:
        """End the process."""
        answers: list[dict] = []
        self._ask("quit", answers)
        self.last = answers[0] if answers else {}
        self.process.communicate()  # closes its standard input, which ends it

    def _ask(self, command: str, answers: list[dict]) -> None:
        """Send a command and append the answer; a side that has failed appends nothing."""
        if self.failure is not None:
            return
        with contextlib.suppress(BrokenPipeError):  # `_answer` reports it
            print(command, file=self.process.stdin, flush=True)
        if answer := self._answer():
            answers.append(answer)

    def _answer(self) -> dict:
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        code = self.process.wait()
        logged = self.log.read_text().strip().splitlines()
        self.failure = f"exit {code}: {logged[-1] if logged else ''}"
        return {}


def run_in_turn(sides: Iterable[Side], epochs: int, evaluations: int) -> None:
    """Train one epoch of each side in turn, then evaluate in turn, then end them.

    The first epoch and the first evaluation warm up: there is one of each in addition to the given numbers.
    """
    for _ in range(epochs + 1):
        for side in sides:
            side.epoch()
    for _ in range(evaluations + 1):
        for side in sides:
            side.evaluate()
    for side in sides:
        side.quit()


def median_after_first(measured: list[dict], clock: str) -> float | None:
    """The median without the first measurement; None if there is no other."""
    return median(each[clock] for each in measured[1:]) if len(measured) > 1 else None


def ratio(fast: float | None, slow: float | None) -> float | None:
    """slow / fast, rounded to two decimal places; None if one is missing or zero."""
    return round(slow / fast, 2) if fast and slow else None


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
