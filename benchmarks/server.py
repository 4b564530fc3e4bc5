"""Load on `prismrec serve`: requests per second and latency for known users and visitors, and hot swaps under load.

The data are random: 10^5 items with vectors of width 64. wrk (Debian: apt-get install wrk) makes the load for known
users and for visitors, each request for another user or history, and counts answers without status 200. During hot
swaps, a Python program makes the load and checks every answer: status 200, k items, and the same run in the header and
in the body. All connections are kept alive.

    python benchmarks/server.py [--seconds 15] [--connections 16] [--workers 2] [--index] [--swap-requests 100000]
"""

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import torch

from prismrec.experiments.synthetic import random_dataset
from prismrec.records import Settings
from prismrec.retrieval import Newcomers
from prismrec.retrieval.newcomers import fit_history_maps
from prismrec.runs import Manifest, Run, build_index
from prismrec.types import Embeddings, Interactions

WIDTH = 64
K = 10
CLICKS = 3
SWAPS = 5
BODIES = 20_000
"""Different requests for wrk, which repeats them if there are more."""
WRK = """
local bodies = {}
for line in io.lines("PATH") do bodies[#bodies + 1] = line end
local number = 0
request = function()
  number = number % #bodies + 1
  return wrk.format("POST", "/api/recommend", { ["Content-Type"] = "application/json" }, bodies[number])
end
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
"""
HEAD = "POST /api/recommend HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def save_run(folder: Path, users: int, items: int, seed: int) -> Path:
    """A run with random vectors, titles and interactions."""
    data = random_dataset(users, items, 4 * max(users, items), {}, seed=0)
    rng = np.random.default_rng(seed)
    embeddings = Embeddings(
        torch.from_numpy(rng.standard_normal((users, WIDTH), dtype=np.float32)),
        torch.from_numpy(rng.standard_normal((items, WIDTH), dtype=np.float32)),
    )
    nothing = Interactions.from_pairs([], [], users, items)
    manifest = Manifest(
        model="random",
        config={},
        settings=Settings(),
        data="random",
        fingerprint="",
        notes=(),
        modalities={},
        versions={},
    )
    [user_map] = fit_history_maps(embeddings, data.train, [0.1], discount=0.5, power=0.5)
    titles = pl.DataFrame({"title": [f"Item number {number}" for number in range(items)]})
    run = Run(
        folder=None,
        manifest=manifest,
        embeddings=embeddings,
        users=data.users,
        items=data.items,
        train=data.train,
        valid=nothing,
        test=nothing,
        catalog=titles,
        history=(),
        weights={},
        stored_newcomers=Newcomers(user_map),
    )
    run.save(folder)
    return folder


@contextmanager
def server(link: Path, workers: int) -> Iterator[int]:
    """`prismrec serve` in a process of its own; its port."""
    command = [sys.executable, "-m", "prismrec", "serve", str(link), "--port", "0", "--workers", str(workers)]
    log = link.parent / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stderr=errors)
    try:
        while not (found := re.search(r'"event": "serving".*"port": (\d+)', log.read_text())):
            if process.poll() is not None:
                sys.exit(log.read_text())
            time.sleep(0.2)
        while events(log, "loaded") < workers:
            time.sleep(0.2)
        time.sleep(1)  # from loading to listening
        yield int(found[1])
    finally:
        process.terminate()
        process.wait()


@dataclass
class Load:
    """What the clients saw."""

    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)
    started: int = 0

    def line(self, name: str, wall: float) -> str:
        milliseconds = 1000 * np.array(self.seconds)
        p50, p99 = np.percentile(milliseconds, [50, 99])
        rate = len(self.seconds) / wall
        wrong = sum(self.errors.values())
        return f"{name:12} {rate:8.0f} requests/s   p50 {p50:6.2f} ms   p99 {p99:6.2f} ms   {wrong} errors"


def wrk(port: int, connections: int, seconds: int, body: Callable[[], bytes], folder: Path) -> str:
    """Requests per second, latency and errors from wrk with one thread, and the CPU time of the server per request."""
    bodies = folder / "bodies"
    bodies.write_bytes(b"\n".join([body() for _ in range(BODIES)]) + b"\n")
    script = folder / "requests.lua"
    script.write_text(WRK.replace("PATH", str(bodies)))
    words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), f"http://127.0.0.1:{port}"]
    before = cpu_seconds(folder / "log")
    output = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    used = cpu_seconds(folder / "log") - before
    requests, microseconds, p50, p99, errors = [int(word) for word in re.search(r"RESULT (.*)", output)[1].split()]
    rate = 1e6 * requests / microseconds
    cpu = f"{1000 * used / requests:.2f} CPU ms per request"
    return f"{rate:8.0f} requests/s   p50 {p50 / 1000:6.2f} ms   p99 {p99 / 1000:6.2f} ms   {errors} errors   {cpu}"


def cpu_seconds(log: Path) -> float:
    """User and system time of the worker processes so far (Linux)."""
    workers = {int(number) for number in re.findall(r'"event": "loaded", "pid": (\d+)', log.read_text())}
    ticks = 0
    for worker in workers:
        fields = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def client(port: int, load: Load, wanted: int, body: Callable[[], bytes]) -> None:
    """One connection that asks until all requests have been made."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while load.started < wanted:
        load.started += 1
        content = body()
        head = f"{HEAD}Content-Length: {len(content)}\r\n\r\n"
        start = time.perf_counter()
        writer.write(head.encode() + content)
        headers = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(re.search(rb"content-length: (\d+)", headers)[1])
        answer = json.loads(await reader.readexactly(length))
        load.seconds.append(time.perf_counter() - start)
        run = re.search(rb"x-prismrec-run: (\S+)", headers)[1].decode()
        load.runs[run] += 1
        if not headers.startswith(b"http/1.1 200"):
            load.errors[f"status {headers[9:12].decode()}"] += 1
        elif answer["run"].lower() != run or len(answer["lists"][0]["items"]) != K:
            load.errors["a wrong answer"] += 1
    writer.close()


async def clients(port: int, count: int, wanted: int, body: Callable[[], bytes], *others: object) -> tuple[Load, float]:
    load = Load()
    start = time.perf_counter()
    await asyncio.gather(*[client(port, load, wanted, body) for _ in range(count)], *[each(load) for each in others])
    return load, time.perf_counter() - start


def point(link: Path, folder: Path) -> None:
    """Replace a symbolic link in one step."""
    new = link.with_name("new-link")
    new.symlink_to(folder)
    new.replace(link)


async def swaps(link: Path, folders: list[Path], damaged: Path, wanted: int, load: Load) -> None:
    """Change the run at even distances; the third change is to a damaged run."""
    targets = [folders[(number + 1) % 2] for number in range(SWAPS)]
    targets.insert(2, damaged)
    for number, target in enumerate(targets):
        while len(load.seconds) < wanted * (number + 1) / (len(targets) + 1):
            await asyncio.sleep(0.05)
        point(link, target)


def events(log: Path, name: str) -> int:
    return sum([f'"event": "{name}"' in line for line in log.read_text().splitlines()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--index", action="store_true", help="build an index first")
    parser.add_argument("--swap-requests", type=int, default=100_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--items", type=int, default=100_000)
    options = parser.parse_args()
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folders = [save_run(folder / f"run-{seed}", options.users, options.items, seed) for seed in range(2)]
        damaged = folder / "damaged"
        shutil.copytree(folders[0], damaged)
        with (damaged / "embeddings.safetensors").open("r+b") as file:
            file.truncate(1000)
        ids = Run.load(folders[0])
        if options.index:
            for each in folders:
                build_index(Run.load(each))
        user_ids = ids.users.ids.to_list()
        item_ids = ids.items.ids.to_list()
        link = folder / "current"
        link.symlink_to(folders[0])

        def user() -> bytes:
            return json.dumps({"users": [rng.choice(user_ids)], "k": K}).encode()

        def visitor() -> bytes:
            return json.dumps({"histories": [rng.choices(item_ids, k=CLICKS)], "k": K}).encode()

        with server(link, options.workers) as port:
            asyncio.run(clients(port, options.connections, 200, user))  # warm-up
            for kind, body in (("users", user), ("visitors", visitor)):
                print(f"{kind:12} {wrk(port, options.connections, options.seconds, body, folder)}", flush=True)
            if not options.swap_requests:
                return
            changing = lambda load: swaps(link, folders, damaged, options.swap_requests, load)  # noqa: E731
            load, wall = asyncio.run(clients(port, options.connections, options.swap_requests, user, changing))
            log = folder / "log"
            print(load.line("swapping", wall), dict(load.runs), dict(load.errors))
            print(f"{events(log, 'swapped')} swaps and {events(log, 'swap refused')} refusals, over all workers")


if __name__ == "__main__":
    main()
