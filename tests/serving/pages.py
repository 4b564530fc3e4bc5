"""The page in a headless Chromium: from a server, or in one file."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright's Python package is not installed")

from playwright.sync_api import Browser, Page, Route, expect

from serving.processes import Server

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium")


class Visit:
    """A page with what went wrong on it."""

    def __init__(self, browser: Browser, server: Server, **options: object) -> None:
        self.context = browser.new_context(**options)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.wrong: list[str] = []
        self._server = server
        self.page.on("console", lambda message: message.type == "error" and self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", lambda dialog: self.wrong.append(dialog.message))
        self.context.route("**/*", self._only_here)

    def _only_here(self, route: Route) -> None:
        if not route.request.url.startswith((self._server.url, "data:", "blob:")):
            self.wrong.append(f"a request to {route.request.url}")
        route.continue_()

    def open(self, view: str = "") -> Page:
        self.page.goto(f"{self._server.url}/#/{view}")
        expect(self.page.locator("h1")).to_be_visible(timeout=20_000)
        return self.page

    def __enter__(self) -> "Visit":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.context.close()
        if kind is None:
            assert self.wrong == []


class File:
    """The page in one file, in a browser without a network."""

    def __init__(self, browser: Browser, run_folder: Path, out: Path, *options: str) -> None:
        command = [sys.executable, "-m", "prismrec", "page", str(run_folder), "--out", str(out), *options]
        subprocess.run(command, check=True, capture_output=True)
        self.context = browser.new_context(offline=True)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.wrong: list[str] = []
        self.page.on("console", lambda message: message.type == "error" and self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: request.url.startswith("http") and self.wrong.append(request.url))
        self.page.goto(out.as_uri())

    def __enter__(self) -> Page:
        return self.page

    def __exit__(self, kind: object, *_: object) -> None:
        self.context.close()
        if kind is None:
            assert self.wrong == []
