"""A person at a browser, logged in to a really started system, on the dashboard's pages."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import requests
from playwright.sync_api import Browser, Page, expect

from tests.browser import keep_picture
from tests.real_system import System

_PATIENCE_MS = 45_000
_COOKIE = "_token"  # what Airflow's own login form sets


class Person:
    """Pages as this user of Airflow sees them, and all that was wrong with them (`wrong`)."""

    def __init__(self, browser: Browser, system: System, *, name: str = "", theme: str = "light") -> None:
        self.name = name or str(system.facts["user"])
        self.url = f"{system.facts['url']}/millrace/ui"
        self.wrong: list[str] = []
        host = urlsplit(self.url).netloc
        expect.set_options(timeout=_PATIENCE_MS)
        self._context = browser.new_context(viewport={"width": 1280, "height": 900})
        self._context.add_cookies([{"name": _COOKIE, "value": _token(system, self.name), "url": system.facts["url"]}])
        self._context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
        self._context.set_default_timeout(_PATIENCE_MS)
        self._context.route_web_socket("**", lambda socket: self.wrong.append(f"socket to {socket.url}"))
        self.page = self._context.new_page()
        self.page.on(
            "console",
            lambda heard: self.wrong.append(f"console: {heard.text}") if heard.type in ("error", "warning") else None,
        )
        self.page.on("pageerror", lambda error: self.wrong.append(f"script: {error}"))
        self.page.on(
            "request",
            lambda sent: self.wrong.append(f"to {sent.url}") if urlsplit(sent.url).netloc not in (host, "") else None,
        )

    def open(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page

    def press(self, name: str) -> None:
        """A button of the page, and Confirm where it asks first."""
        self.page.get_by_role("button", name=name, exact=True).first.click()
        dialog = self.page.locator("dialog#confirm[open]")
        if dialog.count():
            dialog.get_by_role("button", name="Confirm").click()

    def expect_said(self, text: str) -> None:
        expect(self.page.locator("#said")).to_contain_text(text)

    def keep(self, name: str) -> None:
        keep_picture(self.page, name)

    def expect_refusal(self, status: int) -> None:
        """Forget the line that the browser writes for an answer with this status, which the test has provoked."""
        self.wrong = [line for line in self.wrong if f"status of {status}" not in line]

    def leave(self) -> None:
        """Close the browser's window; nothing was wrong with any page in it."""
        self._context.close()
        assert self.wrong == []


def _token(system: System, name: str) -> str:
    passwords = {system.facts["user"]: system.facts["password"]}
    if name not in passwords:
        passwords = json.loads((system.checkout / ".millrace" / "passwords.json").read_text("utf-8"))
    answer = requests.post(
        f"{system.facts['url']}/auth/token", json={"username": name, "password": passwords[name]}, timeout=30
    )
    answer.raise_for_status()
    return str(answer.json()["access_token"])
