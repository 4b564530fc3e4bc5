"""A real server process for tests."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx


class Server:
    """`prismrec serve` in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.log = log

    def events(self, name: str) -> list[dict[str, object]]:
        whole, _, _ = self.log.read_text().rpartition("\n")  # the last line may be half written
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@contextmanager
def running(folder: Path, log: Path, *options: str, token: str | None = None) -> Iterator[Server]:
    """Start a server on a free port and wait until it answers."""
    command = [sys.executable, "-m", "prismrec", "serve", str(folder), "--port", "0", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"} | ({"PRISMREC_TOKEN": token} if token else {})
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stderr=errors, env=environment)
    server = Server(process, "", log)
    try:
        deadline = time.monotonic() + 120
        while not _answers(server):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)


def _answers(server: Server) -> bool:
    started = server.events("serving")
    if not started:
        return False
    server.url = f"http://127.0.0.1:{started[0]['port']}"
    try:
        return httpx.get(f"{server.url}/ready", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
