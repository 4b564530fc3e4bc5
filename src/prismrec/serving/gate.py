"""The middleware for every request: host, token, size and time limits, headers, log and metrics."""

import asyncio
import hmac
import time
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prismrec.serving.logs import count_request, log, log_error
from prismrec.serving.problems import RefusalError, problem
from prismrec.serving.settings import SCRIPTS, ServerSettings
from prismrec.serving.swap import Current

RUN_HEADER = "X-Prismrec-Run"
_OPEN_PATHS = {"/", "/page.css", *[f"/{name}" for name in SCRIPTS], "/health", "/ready"}
"""Paths without a token: they show nothing of the run."""
_LOCAL_NAMES = {"127.0.0.1", "localhost", "[::1]"}
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


class Gate:
    """Checks a request before the app sees it, and finishes its answer."""

    def __init__(self, app: ASGIApp, settings: ServerSettings, current: Current) -> None:
        self._app = app
        self._settings = settings
        self._current = current

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request; HEAD is answered like GET, without the body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        served = self._current.served
        method = scope["method"]
        is_head = method == "HEAD"
        scope = {**scope, "method": "GET" if is_head else method}
        scope.setdefault("state", {})["served"] = served
        start = time.perf_counter()
        status = 0

        async def finish(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _complete(MutableHeaders(scope=message), served.name)
            elif is_head:
                message = {**message, "body": b""}
            await send(message)

        async def answer(message: Message) -> None:
            deadline.reschedule(None)  # a slow reader may take its time
            await finish(message)

        try:
            async with asyncio.timeout(self._settings.limits.seconds) as deadline:
                self._check(Headers(scope=scope), scope["path"])
                await self._app(scope, self._limited(receive), answer)
        except TimeoutError:
            detail = f"no answer within {self._settings.limits.seconds:g} seconds"
            await problem(503, detail, headers={"Retry-After": "1"})(scope, receive, finish)
        except RefusalError as refusal:
            await problem(refusal.status, refusal.detail, headers=refusal.headers)(scope, receive, finish)
        except Exception as error:
            log_error(error, _route(scope))
            if not status:
                await problem(500, "an error in the server, which its log describes")(scope, receive, finish)
        finally:
            route = _route(scope)
            seconds = time.perf_counter() - start
            count_request(route, status, seconds)
            milliseconds = round(1000 * seconds, 2)
            if self._settings.log_requests:
                log("request", method=method, route=route, status=status, ms=milliseconds, run=served.name)

    def _check(self, headers: Mapping[str, str], path: str) -> None:
        """Refuse foreign hosts, wrong tokens and large bodies.

        Raises:
            RefusalError: the request is refused.
        """
        host = headers.get("host", "").rpartition(":")[0] or headers.get("host", "")
        if self._settings.is_local and host not in _LOCAL_NAMES:
            raise RefusalError(421, "a local server answers requests to 127.0.0.1 and localhost only")
        token = self._settings.token
        if token is not None and path not in _OPEN_PATHS:
            given = headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, b"Bearer " + token.encode()):
                raise RefusalError(401, "the bearer token is missing or wrong", {"WWW-Authenticate": "Bearer"})
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdecimal() or int(length) > self._settings.limits.body:
            raise RefusalError(413, self._too_large())

    def _limited(self, receive: Receive) -> Receive:
        """Receive a body in parts, up to the limit."""
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._settings.limits.body:
                raise HTTPException(413, self._too_large())
            return message

        return limited

    def _too_large(self) -> str:
        return f"the body is larger than {self._settings.limits.body:,} bytes"


def _route(scope: Scope) -> str:
    """The route of a request, which contains no id."""
    return getattr(scope.get("route"), "path", "unmatched")


def _complete(headers: MutableHeaders, run: str) -> None:
    headers[RUN_HEADER] = run
    for name, value in _HEADERS.items():
        headers[name] = value
    headers.setdefault("Cache-Control", "no-store")
