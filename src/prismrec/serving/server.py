"""The server process: address, workers, signals."""

import gc
import os
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from prismrec.errors import InputError
from prismrec.serving.app import create_app
from prismrec.serving.listener import listen, one_per_worker
from prismrec.serving.logs import log
from prismrec.serving.served import load_served
from prismrec.serving.settings import ServerSettings

_START_SECONDS = 120
"""Seconds after which a worker that does not respond is replaced. It does not respond while it imports PyTorch."""


@dataclass(frozen=True)
class _App:
    """Makes the application in each worker process."""

    settings: ServerSettings

    def __call__(self) -> FastAPI:
        threads = max(1, (os.cpu_count() or 1) // self.settings.workers)
        torch.set_num_threads(min(threads, torch.get_num_threads()))
        app = create_app(self.settings)
        gc.collect()
        gc.freeze()  # a collection of all objects would stop the answers for a tenth of a second or more
        return app


def serve(settings: ServerSettings) -> None:
    """Serve a run until SIGTERM or SIGINT; requests that have begun are answered first.

    Raises:
        InputError: the run cannot be served, or the address is taken.
    """
    listener = listen(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    address = {"host": host, "port": port, "workers": settings.workers}
    if settings.workers == 1:
        config = _config(_App(settings)(), settings)
        # uvicorn raises the signal that stopped it once more, which would end the process with an error.
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.signal(signal.SIGINT, lambda *_: None)
        log("serving", **address)
        uvicorn.Server(config).run([listener])
    else:
        load_served(settings.run, settings)  # reports what is wrong once, and not in every worker
        with tempfile.TemporaryDirectory(prefix="prismrec-metrics-") as folder:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
            log("serving", **address)
            Multiprocess(_config(_App(settings), settings), [one_per_worker(listener)]).run()
    log("stopped")


def _config(app: FastAPI | _App, settings: ServerSettings) -> uvicorn.Config:
    """The configuration of uvicorn, which does not log: the log of this package contains no ids."""
    return uvicorn.Config(
        app,
        factory=isinstance(app, _App),
        workers=settings.workers,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=int(settings.limits.seconds) + 1,
        timeout_worker_healthcheck=_START_SECONDS,
    )


def read_token(path: Path | None, environment: str | None) -> str | None:
    """The bearer token from a file, or else from the environment.

    Raises:
        InputError: the file cannot be read, or a token is empty or not plain ASCII.
    """
    if path is None and environment is None:
        return None
    source = "PRISMREC_TOKEN" if path is None else path
    try:
        token = (environment or "") if path is None else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(source, str(error), "a text file with the token") from error
    token = token.strip()
    if len(token) < 8 or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(source, "no usable token", "8 or more printable ASCII characters without blanks")
    return token
