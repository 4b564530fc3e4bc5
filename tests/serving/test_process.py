"""A server process under requests: start, hot swap, a refused run, stop."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from prismrec.errors import InputError
from prismrec.serving import ServerSettings, read_token, serve
from serving.conftest import save_run
from serving.processes import Server, running

BODY = {"users": ["u03", "u07"], "histories": [["i01"], ["i02", "i03"]], "k": 3}


class Callers:
    """Threads that ask again and again, and keep what is wrong with the answers."""

    def __init__(self, server: Server, count: int = 3) -> None:
        self._server = server
        self._stop = threading.Event()
        self.answers = 0
        self.wrong: list[object] = []
        self.runs: set[str] = set()
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]

    def _ask(self) -> None:
        with httpx.Client(base_url=self._server.url, timeout=30) as client:
            while not self._stop.is_set():
                try:
                    answer = client.post("/api/recommend", json=BODY)
                except httpx.TransportError as error:
                    self.wrong.append(error)
                    return
                self.answers += 1
                run = answer.headers["x-prismrec-run"]
                self.runs.add(run)
                if answer.status_code != 200 or answer.json()["run"] != run:
                    self.wrong.append(answer.text)

    def __enter__(self) -> "Callers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def point(link: Path, folder: Path) -> None:
    """Replace a symbolic link in one step, as a deployment does."""
    new = link.with_name("new-link")
    new.symlink_to(folder)
    new.replace(link)


def wait_until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def answering(server: Server, route: str, *, ask: bool = False) -> Counter[object]:
    """The numbers of answers of each worker to requests of a route, after one more if `ask`."""
    if ask:
        httpx.get(f"{server.url}{route}", timeout=60)
    return Counter(line["pid"] for line in server.events("request") if line["route"] == route)


def test_runs_are_swapped_under_requests_and_bad_ones_are_refused(tmp_path: Path) -> None:
    workers = 2
    first = save_run(tmp_path / "first", seed=1)
    second = save_run(tmp_path / "second", seed=2)
    damaged = tmp_path / "damaged"
    shutil.copytree(first, damaged)
    with (damaged / "embeddings.safetensors").open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"\x00\x00\xc0\x7f")  # a NaN
    other = save_run(tmp_path / "other", prefix="x")
    link = tmp_path / "current"
    link.symlink_to(first)
    with running(link, tmp_path / "log", "--workers", str(workers)) as server, Callers(server) as callers:
        wait_until(lambda: callers.answers > 20 and len(server.events("loaded")) == workers)
        for process in {line["pid"] for line in server.events("loaded")}:
            maps = Path(f"/proc/{process}/maps")  # mapped files are in memory once for all workers
            assert not maps.exists() or str(first / "embeddings.safetensors") in maps.read_text()
        point(link, second)
        wait_until(lambda: len(server.events("swapped")) == workers)
        point(link, damaged)
        wait_until(lambda: len(server.events("swap refused")) == workers)
        before = callers.answers
        wait_until(lambda: callers.answers > before + 20)
        assert httpx.get(f"{server.url}/ready").json()["run"].startswith("second@")
        assert "other contents" in httpx.get(f"{server.url}/ready").json()["refused"]
        point(link, link)  # a link to itself
        wait_until(lambda: len(server.events("swap refused")) == 2 * workers)
        assert "found no run" in httpx.get(f"{server.url}/ready").json()["refused"]
        point(link, first)
        wait_until(lambda: len(server.events("swapped")) == 2 * workers)
        assert httpx.get(f"{server.url}/ready").json()["refused"] is None
        point(link, other)
        wait_until(lambda: len(server.events("swap refused")) == 3 * workers)
        assert "none of which the run before had" in httpx.get(f"{server.url}/ready").json()["refused"]
        link.unlink()
        wait_until(lambda: len(server.events("swap refused")) == 4 * workers)
        metrics = httpx.get(f"{server.url}/metrics").text
        assert f'prismrec_swaps_total{{outcome="refused"}} {4 * workers}.0' in metrics
        refused = httpx.get(f"{server.url}/ready").json()["refused"]
        assert "current" in refused
    assert callers.wrong == []
    assert {name.partition("@")[0] for name in callers.runs} == {"first", "second"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_server_after_the_requests_that_have_begun(tmp_path: Path, number: int) -> None:
    folder = save_run(tmp_path / "run")
    with running(folder, tmp_path / "log") as server:
        port = int(server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            body = b'{"users": ["u03"], "k": 3}'
            head = f"POST /api/recommend HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
            connection.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n")
            for _ in range(3):  # after the answers to later requests, this one has begun; its body has not come
                assert httpx.get(f"{server.url}/ready", timeout=60).status_code == 200
            server.process.send_signal(number)
            time.sleep(0.5)
            connection.sendall(body)
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        assert server.process.wait(30) == 0
    assert server.events("stopped")


def test_a_connection_answers_on_after_head(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "run")
    with running(folder, tmp_path / "log") as server, httpx.Client(base_url=server.url) as client:
        lengths = [int(client.head("/").headers["content-length"]) for _ in range(2)]
        assert lengths == [len(client.get("/").content)] * 2
    assert [event["method"] for event in server.events("request") if event["route"] == "/"] == ["HEAD", "HEAD", "GET"]


def test_a_hundred_megabytes_are_refused_without_being_kept(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "run")
    with running(folder, tmp_path / "log") as server:
        status = Path(f"/proc/{server.process.pid}/status")
        before = _peak(status)
        json_type = {"Content-Type": "application/json"}
        declared = httpx.post(f"{server.url}/api/recommend", content=b" " * 100_000_000, headers=json_type, timeout=60)
        streamed = httpx.post(
            f"{server.url}/api/recommend", content=(b" " * 10**6 for _ in range(100)), headers=json_type, timeout=60
        )
        assert [declared.status_code, streamed.status_code] == [413, 413]
        if status.exists():
            assert _peak(status) - before < 50_000  # kB


def _peak(status: Path) -> int:
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def test_what_cannot_be_served_ends_with_one_line(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "run")
    (folder / "users.parquet").write_bytes(b"no table")
    command = [sys.executable, "-m", "prismrec", "serve", str(folder), "--port", "0", "--workers", "2"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("prismrec: ")
    assert len(ended.stderr.splitlines()) == 1


def test_a_taken_address_is_refused(run_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InputError, match="free address"):
        serve(ServerSettings(run_folder, port=taken.getsockname()[1]))


def test_workers_share_the_connections_and_refuse_a_second_server(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "run")
    with running(folder, tmp_path / "log", "--workers", "2") as server, contextlib.ExitStack() as stack:
        wait_until(lambda: len(answering(server, "/ready", ask=True)) == 2)  # both listen
        port = int(server.url.rpartition(":")[2])
        address = ("127.0.0.1", port)
        workers = [int(str(line["pid"])) for line in server.events("loaded")]
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        connections = [stack.enter_context(socket.create_connection(address)) for _ in range(40)]
        for worker in workers:
            os.kill(worker, signal.SIGCONT)  # the first one finds all connections waiting
            time.sleep(0.5)
        for connection in connections:
            connection.sendall(b"GET /api/run HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for connection in connections:
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        answers = answering(server, "/api/run")
        with pytest.raises(InputError, match="free address"):
            serve(ServerSettings(folder, port=port, workers=2))
    assert len(answers) == 2
    if sys.platform == "linux":
        assert min(answers.values()) >= 4


@pytest.mark.parametrize(
    "host", ["", "bücher", "\ud800", "a\0b", "x" * 300, "..", "256.1.1.1", "no.such.host.invalid", "::zz"]
)
def test_a_host_that_is_no_address_of_this_machine_ends_with_one_line(run_folder: Path, host: str) -> None:
    with pytest.raises(InputError, match=r"^address: found .*; expected a free address of this machine$"):
        serve(ServerSettings(run_folder, host=host, port=0))


@pytest.mark.parametrize("text", ["", "\n", "short", "two words here", "ümlauts-are-not-ascii"])
def test_a_file_without_a_usable_token_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text)
    with pytest.raises(InputError, match="8 or more"):
        read_token(tmp_path / "token", None)
    with pytest.raises(InputError, match="PRISMREC_TOKEN"):
        read_token(None, text)


def test_a_token_comes_from_a_file_or_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("12345678\n")
    assert read_token(tmp_path / "token", "from-the-environment") == "12345678"
    assert read_token(None, "from-the-environment") == "from-the-environment"
    assert read_token(None, None) is None
