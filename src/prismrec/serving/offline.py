"""The page as one file, with the answers for some users and items in it.

The file holds what the server answers about them. Searches, filters and visitors are computed in the browser, among the
items of the file (page/offline.js).
"""

import asyncio
import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI
from starlette.types import Message

from prismrec.errors import InputError, parse_json
from prismrec.runs import Run
from prismrec.serving.app import create_app
from prismrec.serving.offline_set import offline_set
from prismrec.serving.settings import SCRIPTS, ServerSettings

Body = dict[str, Any]
Report = Callable[[int, int], None]
"""Takes the number of items that are done, and of all."""

_SIMILAR = 12
"""Similar items per row, as the page asks for."""
_LISTED = 10
_REASONS = 2
_LARGEST_PICTURE = 200_000
"""Bytes. Larger pictures are left out."""


def offline_page(
    settings: ServerSettings, num_users: int, num_items: int, report: Report = lambda _done, _total: None
) -> str:
    """The page with the answers of the API for the most active users and the most popular items, as HTML.

    Args:
        settings: the run, and the folder of its pictures.
        num_users: users to include.
        num_items: items to include beside those in histories and lists.
        report: called after each item.

    Raises:
        InputError: the run cannot be served.
    """
    recorder = _Recorder(create_app(settings), report)
    users, items = asyncio.run(recorder.record(num_users, num_items))
    content = {"answers": recorder.answers, "set": offline_set(Run.load(settings.run), items, users)}
    folder = files("prismrec.serving") / "page"
    scripts = [(folder / name).read_text(encoding="utf-8") for name in ("offline.js", *SCRIPTS)]
    style = (folder / "page.css").read_text(encoding="utf-8")
    page = (folder / "page.html").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; script-src {' '.join(map(_hash, scripts))}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    data = json.dumps(content).replace("<", "\\u003c")  # no text can end the element
    page = page.replace('<link rel="stylesheet" href="page.css">', f"<style>{style}</style>")
    for name in SCRIPTS:
        page = page.replace(f'<script src="{name}" defer></script>\n', "")
    page = page.replace("<head>", f'<head>\n<meta http-equiv="Content-Security-Policy" content="{policy}">')
    embedded = f'<script type="application/json" id="offline">{data}</script>'
    embedded += "".join([f"\n<script>{script}</script>" for script in scripts])
    return page.replace("</body>", f"{embedded}\n</body>")


def _hash(text: str) -> str:
    """The source expression that allows an inline script or style with this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _query(parameters: dict[str, Any]) -> str:
    """Parameters as URLSearchParams writes them in browsers."""
    return urlencode(parameters, safe="*").replace("~", "%7E")


class _Recorder:
    """Asks the app what the page will ask, and keeps the answers by request.

    Attributes:
        answers: URL, or URL and body, as page/ask.js writes them → answer.
    """

    def __init__(self, app: FastAPI, report: Report) -> None:
        self._app = app
        self._report = report
        self.answers: dict[str, Any] = {}

    async def record(self, num_users: int, num_items: int) -> tuple[list[str], list[str]]:
        """Ask for the run, the first page, users, and items.

        Returns:
            The users, and all items that are shown somewhere.
        """
        run = await self._get("run", {})
        columns = [run[name] for name in ("title", "image") if run[name]]
        first = await self._get("search", {"q": "", "limit": 24})
        popular = await self._get(
            "search", {"q": "", "kind": "items", "limit": max(min(num_items, 100), 1)}, keep=False
        )
        active = await self._get("search", {"q": "", "kind": "users", "limit": max(min(num_users, 100), 1)}, keep=False)
        users = [each["user"] for each in active["users"][:num_users]]
        items = dict.fromkeys([each["item"] for each in popular["items"][:num_items]])
        first["users"] = active["users"][:num_users]
        first["items"] = first["items"][:num_items]
        for user in users:
            items |= dict.fromkeys(await self._record_user(user, columns))
        shown = dict(items)
        for done, item in enumerate(items, 1):
            shown |= dict.fromkeys(await self._record_item(item, columns))
            self._report(done, len(items))
        run["pictures"] = await self._pictures(shown) if run["image"] else {}
        self.answers["api/run"] = run
        return users, list(shown)

    async def _record_user(self, user: str, columns: list[str]) -> list[str]:
        """The items that the view of a user shows."""
        described = await self._get("user", {"id": user, "limit": 200})
        lists = await self._post("recommend", {"users": [user], "k": _LISTED, "columns": columns})
        listed = [each["item"] for each in lists["lists"][0]["items"]]
        if listed and described["trained"]:
            await self._post("explain", {"user": user, "items": listed, "k": _REASONS})
        return [each["item"] for each in described["history"]] + listed

    async def _record_item(self, item: str, columns: list[str]) -> list[str]:
        """The items that the view of an item shows beside it."""
        described = await self._get("item", {"id": item})
        shown: list[str] = []
        for by in ["model", *described["alike"]]:
            body = {"items": [item], "by": by, "k": _SIMILAR, "columns": columns}
            shown += [each["item"] for each in (await self._post("similar", body))["lists"][0]["items"]]
        return shown

    async def _pictures(self, items: Iterable[str]) -> dict[str, str]:
        """The pictures of items as data URLs."""
        pictures = {}
        for item in items:
            status, media_type, content = await self._ask(f"/api/picture?{_query({'id': item})}", None)
            if status == 200 and len(content) <= _LARGEST_PICTURE:
                pictures[item] = f"data:{media_type};base64,{base64.b64encode(content).decode()}"
        return pictures

    async def _get(self, path: str, query: dict[str, Any], *, keep: bool = True) -> Body:
        url = f"api/{path}" + (f"?{_query(query)}" if query else "")
        return await self._answer(url, None, url if keep else None)

    async def _post(self, path: str, body: Body) -> Body:
        text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)  # as JSON.stringify writes it
        return await self._answer(f"api/{path}", text.encode(), f"api/{path} {text}")

    async def _answer(self, url: str, body: bytes | None, key: str | None) -> Body:
        status, _, content = await self._ask(f"/{url}", body)
        answer: Body = parse_json(content)
        if status != 200:
            raise InputError("page", str(answer.get("detail")), "a run that answers")
        if key is not None:
            self.answers[key] = answer
        return answer

    async def _ask(self, url: str, body: bytes | None) -> tuple[int, str, bytes]:
        """Status, media type and content of an answer of the app."""
        path, _, query = url.partition("?")
        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET" if body is None else "POST",
            "scheme": "http",
            "path": path,
            "query_string": query.encode(),
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 0),
            "server": ("localhost", 80),
        }
        messages: list[Message] = []
        received = False

        async def receive() -> Message:
            nonlocal received
            if received:
                await asyncio.Event().wait()  # the connection stays open
            received = True
            return {"type": "http.request", "body": body or b"", "more_body": False}

        async def send(message: Message) -> None:
            messages.append(message)

        await self._app(scope, receive, send)
        media_type = dict(messages[0]["headers"]).get(b"content-type", b"").decode()
        content = b"".join([message.get("body", b"") for message in messages[1:]])
        return messages[0]["status"], media_type, content
