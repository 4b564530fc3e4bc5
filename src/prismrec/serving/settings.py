"""The settings of a server: the run, the address, and the limits of requests."""

from dataclasses import dataclass, field
from pathlib import Path

SCRIPTS = ("elements.js", "ask.js", "items.js", "views.js", "run.js", "search.js", "page.js")
"""The scripts of the page, in the order in which browsers run them."""


@dataclass(frozen=True)
class Limits:
    """The largest requests that a server answers.

    Attributes:
        body: bytes of a request body.
        k: length of a list.
        batch: users, histories or items in one request.
        entries: k times the number of lists in one request.
        seconds: for one request, including the time to receive it.
        waiting: requests that wait in one worker process. Further ones are refused.
    """

    body: int = 1 << 20
    k: int = 1000
    batch: int = 1000
    entries: int = 100_000
    seconds: float = 10.0
    waiting: int = 1000


@dataclass(frozen=True)
class ServerSettings:
    """How to serve a run.

    Attributes:
        run: the run directory, or a symbolic link to one. A new run behind it replaces the old one while serving.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        workers: number of worker processes.
        token: the bearer token that requests must carry; None for none.
        cors: web origins that may call the API, such as "https://shop.example".
        data: folder with the pictures that the item table names; None chooses it by `picture_folder`.
        watch_seconds: time between two looks for a new run; 0 never looks.
        limits: the largest requests.
        log_requests: whether the log has a line per request.
    """

    run: Path
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    token: str | None = field(default=None, repr=False)
    cors: tuple[str, ...] = ()
    data: Path | None = None
    watch_seconds: float = 1.0
    limits: Limits = field(default_factory=Limits)
    log_requests: bool = True

    @property
    def is_local(self) -> bool:
        """Whether only programs on this machine can connect."""
        return self.host in ("127.0.0.1", "::1", "localhost")

    def picture_folder(self, named: str | None) -> Path | None:
        """The folder with the pictures of a run; None shows none.

        Args:
            named: the folder that the run names. A run of somebody else may name any folder, so that it counts only
                on a server that nobody else can reach.
        """
        if self.data is not None or named is None or not self.is_local:
            return self.data
        return Path(named) if Path(named).is_dir() else None
