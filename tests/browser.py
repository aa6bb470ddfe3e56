"""A real browser on the dashboard, for what only a browser can tell: scripts, policy, looks, and who it talks to.

Debian's Chromium, driven by Playwright. Every page is watched: an error in its console, a refusal by its policy, or a
request that leaves the host fails the test that uses it.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from include.settings import Settings
from include.ui.app import create_app
from tests.api_client import stated_login

CHROMIUM = "/usr/bin/chromium"
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """Pages of one person, and all that was wrong with them."""

    def __init__(self, browser: Browser, url: str, *, caller: str | None = None, theme: str = "light") -> None:
        self.url = url
        self.wrong: list[str] = []
        self._host = urlsplit(url).netloc
        self._context = browser.new_context(
            viewport={"width": 1280, "height": 800},
            color_scheme="dark" if theme == "dark" else "light",
            extra_http_headers={} if caller is None else {"X-Caller": caller},
        )
        self._context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
        self._context.set_default_timeout(15_000)

    def page(self, path: str) -> Page:
        """A page below the address of the dashboard, opened."""
        page = self._context.new_page()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.wrong.append(f"script: {error}"))
        page.on("request", self._see)
        page.goto(self.url + path)
        return page

    def expect_refusal(self, status: int) -> None:
        """Forget the lines that the browser writes for an answer with this status, which the test has provoked."""
        self.wrong = [line for line in self.wrong if f"status of {status}" not in line]

    def close(self) -> None:
        self._context.close()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"console: {message.text}")

    def _see(self, request: Request) -> None:
        found = urlsplit(request.url)
        if found.scheme in ("http", "https", "ws", "wss") and found.netloc != self._host:
            self.wrong.append(f"request to {request.url}")


@contextmanager
def dashboard_of(database_url: str, **settings: object) -> Iterator[str]:
    """The dashboard served at an address of this machine, below /millrace as Airflow mounts it."""
    outside = FastAPI()
    inside = create_app(Settings(database_url=database_url, **settings), login=stated_login)  # type: ignore[arg-type] # as given by a test
    outside.mount("/millrace", inside)
    outside.router.lifespan_context = lambda _: inside.router.lifespan_context(inside)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(outside, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/millrace/ui"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def keep_picture(page: Page, name: str) -> Path:
    """A screenshot of the whole page, in `build/screens`."""
    file = Path(__file__).parent.parent / "build" / "screens" / f"{name}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=file, full_page=True)
    return file
