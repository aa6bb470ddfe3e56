"""Whatever one does on a page, it says within 200 ms that it is busy: every action of every page."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fastapi.routing import APIRoute
from playwright.sync_api import Browser, Route, expect
from starlette.routing import Match

from include.settings import Settings
from include.store.db import DictConnection
from include.ui.app import create_app
from tests.api_client import stated_login
from tests.browser import Watched, dashboard_of
from tests.log_rows import add_connector, add_workflow
from tests.test_ui_accessible import seed

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("browser")]
pytest_plugins = ["tests.browser_fixtures"]

MOST_MS = 200
LINE_MS = 100  # after which the style sheet shows the line at the top

# What a person can press, send, or type into, with words that tell it from others; but not from its like in other rows.
FIND = r"""() => {
  const all = "a[href]:not([href^='#'], [download]), button:not(:disabled), form:not([method='dialog']),"
    + "input:not([type='hidden']), select, textarea";
  const place = (one) => one.getAttribute("hx-post") ?? one.getAttribute("hx-get") ?? one.getAttribute("formaction")
    ?? one.getAttribute("href") ?? (one.form ?? one).getAttribute("action");
  const words = (one) => [one.localName, place(one), one.type, one.getAttribute("name"),
    one.matches("button") && one.textContent];
  window.found = [...document.querySelectorAll(all)].filter((one) => !one.closest("dialog"));
  return window.found.map((one) => words(one).filter(Boolean).join(" ").replace(/\d+/g, "N"));
}"""
# Do it, and note by the clock of the page when that was, when the page says that it is busy, and whether it asks.
DO = """(place) => {
  const one = window.found[place], root = document.documentElement;
  const seen = window.seen = { did: performance.now(), asked: 0, line: null, word: null };
  const real = window.real ??= window.fetch.bind(window);
  window.fetch = (...given) => (seen.asked++, real(...given));
  window.onbeforeunload = () => { seen.asked++; };
  window.observer?.disconnect();
  window.observer = new MutationObserver(() => {
    if (root.classList.contains("busy")) seen.line ??= performance.now();
    if (document.getElementById("working").textContent) seen.word ??= performance.now();
  });
  window.observer.observe(root, { subtree: true, childList: true, attributes: true });
  for (const field of (one.form ?? one).querySelectorAll("input:invalid")) field.value = "2090-01-01T09:00";
  if (one.matches("a, button")) one.click();
  else if (one.matches("form")) one.requestSubmit();
  else for (const event of ["input", "change"]) one.dispatchEvent(new Event(event, { bubbles: true }));
  return document.getElementById("confirm").open;
}"""
CONFIRM = """async () => {
  const dialog = document.getElementById("confirm");
  const closed = new Promise((done) => dialog.addEventListener("close", done));
  window.seen.did = performance.now();
  dialog.querySelector("[value='yes']").click();
  await closed;
}"""
# What was seen until now; and, as the browser says when one comes back to a page, that the page is here to stay.
SEEN = "({ ...window.seen, now: performance.now() })"
STAYS = "dispatchEvent(new Event('pageshow'))"


class Person:
    """Somebody who does all that can be done while the server is slow; and what was asked of the server thereby."""

    def __init__(self, watched: Watched) -> None:
        self.page = watched.page("/audit")
        self.asked: set[tuple[str, str]] = set()
        self._url = watched.url
        self._held: list[Route] = []
        self._is_slow = False
        self.page.clock.install(time="2026-01-01T00:00:00Z")
        self.page.clock.pause_at("2026-01-01T00:00:10Z")

    def look(self, path: str) -> list[str]:
        """Open a page; what can be done there. What refreshes itself rests, as it does while nobody looks."""
        self.page.unroute_all()
        self.page.goto(self._url + path)
        self.asked.add(("GET", path))
        self.page.clock.run_for(1000)
        expect(self.page.locator("html.busy")).to_have_count(0)
        self.page.evaluate("Object.defineProperty(document, 'hidden', { value: true })")
        self.page.route("**/*", self._hold)
        return list(self.page.evaluate(FIND))

    def links(self) -> list[str]:
        """Where the page leads, within the dashboard."""
        found = self.page.evaluate("[...document.querySelectorAll('a[href]')].map((one) => one.href)")
        return [link.removeprefix(self._url).partition("#")[0] for link in found if link.startswith(self._url)]

    def do(self, place: int) -> dict[str, Any]:
        """Do it while every answer is held back; what was seen by the page's clock, which goes on for a second."""
        self._is_slow = True
        if self.page.evaluate(DO, place):
            self.page.evaluate(CONFIRM)
        seen = self._after_a_second()
        self.page.evaluate(STAYS)
        self._answer()
        expect(self.page.locator("html.busy")).to_have_count(0)
        return seen

    def _after_a_second(self) -> dict[str, Any]:
        """What was seen; a page that is just being left may not hear at once how time goes on."""
        while True:
            self.page.clock.run_for(1000)
            seen: dict[str, Any] = self.page.evaluate(SEEN)
            if seen["now"] > seen["did"] + MOST_MS:
                return seen

    def _hold(self, route: Route) -> None:
        self.asked.add((route.request.method, route.request.url.removeprefix(self._url).partition("?")[0]))
        # Where the browser leaves the page, it does so at once: it has said that it is busy, or it never will.
        if self._is_slow and not route.request.is_navigation_request():
            self._held.append(route)
        else:
            route.fulfill(status=204)

    def _answer(self) -> None:
        """Nothing, with which the page stays as it is."""
        self._is_slow = False
        while self._held:
            self._held.pop().fulfill(status=204)


def seed_all(db: DictConnection) -> list[str]:
    """Rows in every state in which something can be done about them; the paths of their pages."""
    paths = seed(db)
    pulled = add_connector(db, "pulled", kind="rest", config={"url": "https://example.com/"}, cursor="7")
    db.execute(
        "update timer set status = 'failed', attempt = 1, fired_at = now(), finished_at = now(), error = '500'"
        " where id = (select min(id) from timer)"
    )
    db.execute("insert into timer (url, due_at) values ('https://example.com/t', now() + interval '1 hour')")
    stopped = add_workflow(db, 1, "https://example.com/hook", "stopped")
    db.execute("update workflow_progress set stopped_at = 6, error = '500' where workflow_id = %s", (stopped,))
    db.execute("insert into dead_letter (workflow_id, connector_id, position, error) values (1, 1, 3, '500')")
    db.execute("insert into trial (owner, kind, payload, timeout) values ('admin', 'sql', '{}', '30s')")
    return [
        *paths.values(),
        *("/timers/2", f"/workflows/{stopped}", "/workflows/1/rewind?to=0"),
        *(f"/connectors/{pulled}", "/jobs/trials/1", "/dead-letters/workflow/1"),
    ]


def same(path: str) -> str:
    """A path without its numbers and its query: the pages of all rows are one."""
    return re.sub(r"\d+", "N", path.partition("?")[0])


def shows_in_time(seen: dict[str, Any]) -> bool:
    shown = [seen["line"], seen["word"]]
    return None not in shown and max(seen["line"] + LINE_MS, seen["word"]) <= seen["did"] + MOST_MS


def test_every_action_shows_within_200_ms_that_the_page_is_busy(
    browser: Browser, database_url: str, db: DictConnection
) -> None:
    """While every answer is held back, each button, link, form and field that asks the server shows so at once: by a
    line at the top, and by a word for those who do not see it. No page and no form of the dashboard is left out."""
    paths = seed_all(db)
    known: set[str] = set()
    wrong = []
    with dashboard_of(database_url) as url:
        watched = Watched(browser, url, caller="admin")
        person = Person(watched)
        pages = {same(path) for path in paths}
        while paths:
            path = paths.pop()
            for place, words in enumerate(person.look(path)):
                if words not in known:
                    known.add(words)
                    seen = person.do(place)
                    is_to_ask = words.startswith(("a ", "button ", "form "))
                    wrong += (
                        [(path, words, seen)] if not (shows_in_time(seen) if seen["asked"] else not is_to_ask) else []
                    )
            for link in person.links():
                if same(link) not in pages:
                    pages.add(same(link))
                    paths.append(link)
        watched.close()
    assert wrong == []
    assert not_reached(database_url, person.asked) == set()


def not_reached(database_url: str, asked: set[tuple[str, str]]) -> set[str]:
    """The routes of the dashboard that nobody has come to."""
    app = create_app(Settings(database_url=database_url), login=stated_login)
    routes = [route for route in app.routes if isinstance(route, APIRoute) and route.path.startswith("/ui/")]
    routes = [route for route in routes if route.path != "/ui/{path:path}"]  # where there is no page
    expected = {(method, route.path) for route in routes for method in route.methods - {"HEAD"}}
    reached = set()
    for method, path in asked:
        scope = {"type": "http", "method": method, "path": f"/ui{path.partition('?')[0]}", "headers": []}
        first = next((route.path for route in routes if route.matches(scope)[0] == Match.FULL), None)
        reached.add((method, first))
    return {f"{method} {path}" for method, path in expected - reached}
