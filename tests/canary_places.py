"""Where people look: every route that answers a GET, every page of the dashboard, every command that shows things."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi.testclient import TestClient
from typer.testing import CliRunner

from include.api.app import create_app as create_api
from include.cli.__main__ import _application
from include.settings import Settings
from include.shifts.post import FindConnection
from include.store.db import DictConnection
from include.ui.app import create_app as create_pages
from tests.access_table import TABLE
from tests.api_client import ADMIN, stated_login

_AS_ADMIN = {"X-Caller": ADMIN.name}
_MOST_PAGES = 400

# The rows that stand for the names in a route's path.
_ROWS = {
    frozenset({"job_id"}): "select id as job_id from job",
    frozenset({"job_id", "due"}): "select job_id, (extract(epoch from scheduled_for) * 1000000)::bigint as due"
    " from execution",
    frozenset({"connector_id"}): "select id as connector_id from connector",
    frozenset({"connector_id", "position"}): "select connector_id, position from record",
    frozenset({"workflow_id"}): "select id as workflow_id from workflow",
    frozenset({"timer_id"}): "select id as timer_id from timer",
    frozenset({"trial_id"}): "select id as trial_id from trial",
    frozenset({"audit_id"}): "select id as audit_id from audit",
    frozenset({"owner"}): "select 'admin' as owner",
    frozenset({"kind"}): "select unnest(array['ping', 'webhook', 'slack', 'sql', 'rest', 'postgres']) as kind",
    frozenset({"name"}): "select name from budget",
}

_COMMANDS = {
    "jobs": ("list", "show {job}", "executions {job}", "why {job}", "next {job}"),
    "connectors": ("list", "show {connector}", "records {connector}"),
    "workflows": ("list", "show {workflow}", "lag"),
    "timers": ("list", "show {timer}"),
    "dead-letters": ("list", "show {letter}"),
    "notify": ("list",),
    "access": ("list", "quota admin"),
    "warnings": ("",),
    "export": ("",),
}


def answers(database_url: str, db: DictConnection, find: FindConnection) -> Iterator[tuple[str, str]]:
    """Every path of the API that answers a GET, about every row there is, with what it says to an admin."""
    app = create_api(Settings(database_url=database_url), find=find, login=stated_login)
    with TestClient(app, base_url="http://millrace.test") as client:

        def get(path: str) -> str:
            answer = client.get(path, headers=_AS_ADMIN)
            assert answer.status_code < 500, answer.text
            return answer.text

        letters = client.get("/api/v1/dead-letters", params={"limit": 500}, headers=_AS_ADMIN).json()["items"]
        for route, rule in TABLE.items():
            method, path = route.split(" ")
            if method != "GET":
                continue
            if "{letter_id}" in path:
                rows: list[Mapping[str, Any]] = [{"source": one["source"], "letter_id": one["id"]} for one in letters]
            else:
                names = frozenset(re.findall(r"\{(\w+)\}", path + rule.query))
                rows = db.execute(_ROWS[names].encode()).fetchall() if names else [{}]
            for row in rows:
                filled = (path + rule.query).format(**row)
                yield filled, get(filled)


def pages(database_url: str) -> Iterator[tuple[str, str]]:
    """Every page of the dashboard that a link of another leads to."""
    app = create_pages(Settings(database_url=database_url), login=stated_login)
    with TestClient(app, base_url="http://millrace.test") as client:
        waiting, known = ["/ui/"], {"/ui/"}
        while waiting and len(known) < _MOST_PAGES:
            path = waiting.pop(0)
            page = client.get(path, headers=_AS_ADMIN)
            assert page.status_code < 500, path
            yield path, page.text
            if "html" not in page.headers["content-type"]:
                continue
            for link in re.findall(r'(?:href|hx-get|data-src)="([^"#]+)', page.text):
                target = str(page.url.join(html.unescape(link)))
                target = target.removeprefix("http://millrace.test")
                # Sorted, filtered and paged otherwise, a page shows nothing that it does not show as it is.
                bare = target.partition("?")[0]
                if target.startswith("/ui/") and "/static/" not in target and bare not in known:
                    known.add(bare)
                    waiting.append(target)


def outputs(db: DictConnection) -> Iterator[tuple[str, str]]:
    """What each command that shows something says of each row, for people and for scripts."""
    letters = db.execute("select id from dead_letter").fetchall()
    failed = db.execute("select job_id, scheduled_for from execution where status = 'failed'").fetchall()
    words: dict[str, list[str]] = {
        **{table: [str(row["id"]) for row in db.execute(f"select id from {table}".encode())] for table in _TABLES},
        "letter": [str(row["id"]) for row in letters]
        + [f"job_{row['job_id']}_{round(row['scheduled_for'].timestamp() * 1_000_000)}" for row in failed],
    }
    for group, commands in _COMMANDS.items():
        app = _application(group)
        for command in commands:
            [name] = re.findall(r"\{(\w+)\}", command) or [""]
            for number, row in enumerate(words[name] if name else [""]):
                given = [group, *command.format(**{name or "_": row}).split()]
                # All that people are shown is in what scripts get; and each command knows the other rows of its table.
                for form in [[]] if group == "export" else [["--json"], []] if not number else [["--json"]]:
                    said = CliRunner().invoke(app, [*given, *form])
                    yield " ".join([*given, *form]), f"{said.output}{said.exception or ''}"
                if not command.startswith("show"):
                    break


_TABLES = ("job", "connector", "workflow", "timer")
