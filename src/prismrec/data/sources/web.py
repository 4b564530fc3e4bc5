"""Requests over http and https, through the proxy that the environment names."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from importlib.metadata import version
from typing import IO
from urllib.parse import urlsplit

from prismrec.errors import InputError

CUTS = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError)
"""What a connection that breaks raises."""
_TIMEOUT = 60
_TEMPORARY = (408, 429, 500, 502, 503, 504)


class CutError(Exception):
    """The connection ended early, or the server asks to come back later."""


class RangeError(Exception):
    """The file has no byte in the range; `size` is its size if the server states it."""

    def __init__(self, size: int | None) -> None:
        self.size = size
        super().__init__("no byte in this range")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but not from https to something that can be read or changed on the way."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        allowed = ("https",) if req.type == "https" else ("http", "https")
        if urlsplit(newurl).scheme not in allowed:
            raise InputError(req.full_url, f"a redirection to {newurl}", f"one to {' or '.join(allowed)}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_url(url: str, headers: Mapping[str, str] | None = None) -> http.client.HTTPResponse:
    """Send a request, and return the answer before its content.

    Raises:
        InputError: the server refuses.
        RangeError: the range of the headers begins behind the end of the file.
        CutError: no connection, or a refusal for the moment.
    """
    always = {"User-Agent": f"prismrec/{version('prismrec')}", "Accept-Encoding": "identity"}
    try:
        request = urllib.request.Request(url, headers={**always, **(headers or {})})
        response: http.client.HTTPResponse = urllib.request.build_opener(_Redirects).open(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            size = error.headers.get("Content-Range", "").removeprefix("bytes */")
            raise RangeError(int(size) if size.isdigit() else None) from None
        if error.code in _TEMPORARY:
            raise CutError(f"the answer {error.code} {error.reason}") from None
        raise InputError(url, f"the answer {error.code} {error.reason}", "the file; try a mirror (--from)") from None
    except CUTS as error:
        raise CutError(f"no answer ({getattr(error, 'reason', error)})") from None
    except ValueError as error:
        raise InputError(url, str(error), "an address") from None
    return response
