"""A server on this machine that cuts connections, ignores ranges, changes files and lies."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest

CONTENT = np.random.default_rng(0).bytes(3_000_000)


@dataclass
class Site:
    """What the server does.

    Attributes:
        content: of every file.
        etag: the version that it states.
        modified: the time of the last change that it states.
        cuts: each request takes the first number and ends the connection after that many bytes.
        ranges: whether it honours ranges.
        conditions: whether it honours If-Range.
        answers: each request takes the first status and gets no content.
        location: the target of a redirection.
        length: whether it states the length.
        shift: how far a range starts behind the one that was asked for.
        requests: the headers of all requests, with the path.
        address: its own.
        files: content by path, in place of `content`; other paths are not found if it is not empty.
    """

    content: bytes = CONTENT
    etag: str | None = '"one"'
    modified: str | None = None
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    conditions: bool = True
    answers: list[int] = field(default_factory=list)
    location: str | None = None
    length: bool = True
    shift: int = 0
    requests: list[dict[str, str]] = field(default_factory=list)
    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)


class Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        site = self.site
        self.close_connection = True
        site.requests.append({"path": self.path, **dict(self.headers.items())})
        if site.answers:
            self.send_response(site.answers.pop(0))
            if site.location:
                self.send_header("Location", site.location)
            self.end_headers()
            return
        if site.files:
            self._send_file(site.files.get(self.path))
            return
        start = self._start()
        if start is not None and start >= len(site.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(site.content)}")
            self.end_headers()
            return
        body = site.content[(start or 0) + (site.shift if start else 0) :]
        self.send_response(200 if start is None else 206)
        if start is not None:
            first = start + site.shift
            last = len(site.content) - 1
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(site.content)}")
        if site.length:
            self.send_header("Content-Length", str(len(body)))
        for name, value in (("ETag", site.etag), ("Last-Modified", site.modified)):
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: site.cuts.pop(0)] if site.cuts else body)

    def _send_file(self, content: bytes | None) -> None:
        self.send_response(404 if content is None else 200)
        self.end_headers()
        self.wfile.write(content or b"")

    def _start(self) -> int | None:
        """The first byte of the range, if the server honours it."""
        asked = self.headers.get("Range")
        condition = self.headers.get("If-Range")
        is_met = condition in (None, self.site.etag, self.site.modified) or not self.site.conditions
        if asked is None or not self.site.ranges or not is_met:
            return None
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Clients hang up in these tests; nothing is printed."""


@pytest.fixture
def site() -> Iterator[Site]:
    state = Site()
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"site": state}))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()
