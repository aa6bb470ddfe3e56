"""The page for whoever adds a kind of job: what it shows works as it stands."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import include.actions
from include import errors, registry
from include.egress import Egress
from include.errors import ConfigError, PermanentError, RetryableError
from include.local.home import PROJECT
from include.model import Call, Connection, Output
from include.shifts.notices import wording
from include.store import jobs
from include.store.db import DictConnection
from include.store.rows import job_from_row, workflow_from_row
from tests.fake_http import Handler, Server, serving
from tests.job_commands import Run, environment, run
from tests.rest_source import NOW, egress

__all__ = ["egress", "environment", "run"]

PAGE = (PROJECT / "docs" / "add-a-job-kind.md").read_text()
KIND, WORKER_KIND, TEST = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
[SHELL] = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
[SQL] = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
KINDS = {"elasticsearch": KIND, "disk": WORKER_KIND}


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kinds of the page are files where kinds are, beside the real ones."""
    folder = tmp_path / "actions"
    folder.mkdir()
    for name, text in KINDS.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.setattr(registry, "_HERE", tmp_path)
    monkeypatch.setattr(include.actions, "__path__", [*include.actions.__path__, str(folder)])
    caches = registry.action_kinds, registry.action
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()
    for name in KINDS:
        sys.modules.pop(f"include.actions.{name}", None)
        vars(include.actions).pop(name, None)


def call(egress: Egress, server: Server, **changes: Any) -> Call[Any]:
    payload = {"url": server.url("/cluster/"), "index": "orders", "document": {"total": 3}}
    config = registry.action("elasticsearch").parse(payload)
    return replace(Call(config, "1:2:3", NOW, attempt=1, timeout_seconds=5, http=egress), **changes)


async def act(made: Call[Any]) -> Output:
    return await registry.action("elasticsearch").act(made)


def elasticsearch() -> Handler:
    """An index: a document under each key."""
    documents: dict[str, Any] = {}

    async def put(request: web.Request) -> web.StreamResponse:
        result = "updated" if request.path in documents else "created"
        documents[request.path] = await request.json()
        return web.json_response({"result": result}, status=201 if result == "created" else 200)

    return put


async def test_what_is_sent_twice_is_there_once(egress: Egress) -> None:
    """The key of an occurrence is the document's, so a second attempt stores the same document again."""
    async with serving(elasticsearch()) as server:
        first, second = await act(call(egress, server)), await act(call(egress, server, attempt=2))
        other = await act(call(egress, server, key="1:2:4"))
        paths = [request.path for request in server.received]
    assert [output.data["result"] for output in (first, second, other)] == ["created", "updated", "created"]
    assert paths == ["/cluster/orders/_doc/1:2:3"] * 2 + ["/cluster/orders/_doc/1:2:4"]


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ({"status": 429, "headers": {"Retry-After": "7"}}, RetryableError),
        ({"status": 503}, RetryableError),
        ({"status": 401}, PermanentError),
        ({"status": 307, "headers": {"Location": "/"}}, PermanentError),
        ({"text": "<html>"}, PermanentError),
        ({"text": "{}"}, PermanentError),
        ({"text": "[]"}, PermanentError),
    ],
)
async def test_its_errors_say_what_to_do(egress: Egress, reply: dict[str, Any], error: type[Exception]) -> None:
    """As the table of the page has it; without the path."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(**reply)

    async with serving(answer) as server:
        with pytest.raises(error) as caught:
            await act(call(egress, server))
    assert "orders" not in str(caught.value)
    assert getattr(caught.value, "after_seconds", None) == (7 if "Retry-After" in reply.get("headers", {}) else None)


async def test_a_connection_without_a_key_is_to_be_edited(egress: Egress) -> None:
    """Nothing is sent, and the error names the connection and what is missing."""
    async with serving(elasticsearch()) as server:
        with pytest.raises(ConfigError, match="'search' has no password: write the API key there"):
            await act(call(egress, server, connection=Connection("search")))
        assert server.received == []


def test_the_commands_on_the_page_make_a_job_of_it(run: Run, db: DictConnection) -> None:
    """The job that the page adds fits its kind, and one with a mistake in it does not."""
    added = shlex.split(SHELL.replace("\\\n", "").splitlines()[0])
    assert added[:2] == ["./millrace", "jobs"]
    run(*added[2:])
    job = job_from_row(jobs.find(db, "an order"))
    registry.vet(job)
    assert (job.kind, registry.action(job.kind).runs_on) == ("elasticsearch", "triggerer")
    assert job.payload["document"] == {"total": 3}
    with pytest.raises(ConfigError, match="indx: Extra inputs are not permitted"):
        registry.vet(replace(job, payload={**job.payload, "indx": "orders"}))


def test_the_workflow_on_the_page_stores_each_record(db: DictConnection) -> None:
    """Its payload says nothing of a document, so that is the record."""
    db.execute("insert into connector (name, kind) values ('orders', 'webhook')")
    db.execute(SQL.encode())
    row = db.execute(
        "select workflow.*, connector.name as connector from workflow join connector on connector.id = connector_id"
    ).fetchone()
    assert row is not None
    record = {"key": "7", "payload": {"total": 3}}
    workflow = workflow_from_row(row)
    made = registry.template_of(workflow).render(record=record, workflow={"batch_size": workflow.batch_size})
    assert made["document"] == record
    registry.action("elasticsearch").parse(made)


def test_the_kind_for_workers_runs_on_a_worker(egress: Egress, tmp_path: Path) -> None:
    """An ordinary function is known as one; it says how much room there is, or what to do."""
    kind = registry.action("disk")
    assert kind.runs_on == "worker"

    def look(path: Path, gigabytes: float) -> Any:
        config = kind.parse({"path": str(path), "gigabytes": gigabytes})
        return kind.act(Call(config, "job_1_0", NOW, 1, 5, egress))

    assert look(tmp_path, 1e-6).data["free_gigabytes"] > 0
    with pytest.raises(RetryableError, match="less than 1e\\+12: make room"):
        look(tmp_path, 1e12)
    with pytest.raises(ConfigError, match="write a directory that is there"):
        look(tmp_path / "nowhere", 1)


async def test_the_test_on_the_page_passes(egress: Egress) -> None:
    """As it stands, against the kind as it stands."""
    shown: dict[str, Any] = {}
    exec(compile(TEST, "the page's test", "exec"), shown)  # noqa: S102 - our own page
    [test] = [value for name, value in shown.items() if name.startswith("test_")]
    await test(egress)


def test_what_the_page_names_is_there() -> None:
    """Its links lead somewhere, and the errors that it tells apart are all that an action can raise."""
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert [link for link in links if not (PROJECT / "docs" / link).exists()] == []
    told = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    there = [name for name, error in vars(errors).items() if isinstance(error, type) and issubclass(error, Exception)]
    of_others = {"MillraceError", "AttemptError", "RefusedError", "TakenError", "MisfitError"}
    assert sorted(told) == sorted({*there} - of_others)


def test_what_a_kind_may_say_is_all_on_the_page() -> None:
    """Each name that the registry looks for in a kind's file is explained, and no other."""
    read = re.findall(r'getattr\(module, "([A-Z_]+)"', (PROJECT / "include" / "registry.py").read_text())
    assert sorted(re.findall(r"^- `([A-Z_]+)`: ", PAGE, re.MULTILINE)) == sorted(read)
    told = wording([{"name": "a", "event": "test", "count": 1, "detail": "x"}], {"test": 1}, 1)
    [names] = re.findall(r"there are (`summary`.*?)\.", PAGE, re.DOTALL)
    assert sorted(re.findall(r"`(\w+)`", names)) == sorted(told)
