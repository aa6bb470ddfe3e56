"""Trying connectors out over HTTP: the source is really asked, and nothing is stored."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from include.api.app import create_app
from include.errors import ConfigError
from include.model import Connection
from include.settings import Settings, settings
from include.store.db import DictConnection
from tests.api_client import ADMIN, ALICE, Api, ok, problem, stated_login
from tests.json_server import answering

pytestmark = pytest.mark.xdist_group("api")

PASSWORD = "tok-5f1e"


async def find(conn_id: str) -> Connection:
    """The one connection that there is."""
    if conn_id != "shop":
        raise ConfigError(f"Airflow has no connection {conn_id!r}")
    return Connection("shop", password=PASSWORD)


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    allowed = Settings(database_url=database_url, egress_allow=(ip_network("127.0.0.0/8"),))
    with TestClient(create_app(allowed, find=find, login=stated_login), base_url="http://millrace.test") as client:
        yield Api(client, ADMIN)


class Source:
    """An API of three pages of ten items each, which answers with `status`, and notes what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.url = ""

    def answer(self, _method: str, path: str, headers: dict[str, str], _body: Any) -> tuple[int, Any]:
        self.asked.append((path, headers))
        page = int(path.partition("page=")[2] or 1)
        items = [{"id": page * 10 + n, "token": headers.get("authorization")} for n in range(10)]
        return self.status, {"items": items, "next": f"{self.url}?page={page + 1}" if page < 3 else None}


@pytest.fixture
def source() -> Iterator[Source]:
    made = Source()
    with answering(made.answer) as url:
        made.url = url
        yield made


def connector(url: str, **config: Any) -> dict[str, Any]:
    return {"name": "shop", "kind": "rest", "config": {"base_url": url, "data_selector": "items", **config}}


def test_a_preview_needs_no_name(api: Api, db: DictConnection, source: Source) -> None:
    """Nothing is stored, so nothing needs to be found again."""
    nameless = {name: value for name, value in connector(source.url).items() if name != "name"}
    assert ok(api.post("/connectors/preview", nameless))["pages"][0]["count"] == 10
    assert db.execute("select 1 from connector").fetchall() == []


def test_a_preview_shows_what_a_pull_would_do(api: Api, db: DictConnection, source: Source) -> None:
    """The request, the page, its first records with their keys, and where it would go on; nothing is stored."""
    made = ok(api.as_(ALICE).post("/connectors/preview", connector(source.url, primary_key="id")))
    [asked], [page] = made["requests"], made["pages"]
    assert (asked["method"], asked["url"], asked["status"], asked["error"]) == ("GET", source.url, 200, None)
    assert (page["count"], [record["key"] for record in page["records"]]) == (10, ["10", "11", "12", "13", "14"])
    assert (made["next_cursor"], made["error"], made["pushed_to"]) == (page["cursor"], None, None)
    assert not made["caught_up"]
    assert made["warnings"] == []
    [warning] = ok(api.post("/connectors/preview", connector(source.url, primary_key="ID")))["warnings"]
    assert warning.startswith("primary_key: none of these 10 records has anything at ID")
    assert ok(api.post("/connectors/preview?pages=3", connector(source.url)))["pages"][2]["count"] == 10
    assert [path for path, _ in source.asked] == ["/", "/", "/", "/?page=2", "/?page=3"]
    assert db.execute("select id from connector union select id from audit").fetchall() == []


def test_what_is_stored_is_tried_out_from_where_it_stopped(api: Api, db: DictConnection, source: Source) -> None:
    """A stored connector goes on from its cursor, or anew; the cursor stays where it is, and no record is stored."""
    first = ok(api.post("/connectors/preview", connector(source.url)))
    path = f"/connectors/{ok(api.post('/connectors', connector(source.url)), 201)['id']}"
    db.execute("update connector set cursor = %s::jsonb", (json.dumps(first["next_cursor"]),))
    row = db.execute("select * from connector").fetchone()
    source.asked.clear()
    assert ok(api.post(path + "/preview"))["cursor"] == first["next_cursor"]
    assert ok(api.post(path + "/preview?anew=true"))["cursor"] is None
    assert [asked for asked, _ in source.asked] == ["/?page=2", "/"]
    assert db.execute("select * from connector").fetchone() == row
    assert db.execute("select count(*) as n from record").fetchone() == {"n": 0}


def test_a_failure_of_the_source_says_why_and_what_came_before(api: Api, source: Source) -> None:
    """What the source answers, or that nobody is there, or may be asked, is a 422 with the reason and the requests."""
    source.status = 500
    failed = api.post("/connectors/preview", connector(source.url))
    assert "500" in problem(failed, 422)
    [asked] = failed.json()["preview"]["requests"]
    assert (asked["url"], asked["status"]) == (source.url, 500)
    nobody = api.post("/connectors/preview", connector("http://127.0.0.1:1/"))
    assert problem(nobody, 422) == nobody.json()["preview"]["error"]
    assert "10.0.0.1" in problem(api.post("/connectors/preview", connector("http://10.0.0.1/")), 422)


def test_settings_that_do_not_fit_are_said_by_their_places(api: Api) -> None:
    """As creating such a connector would: whoever has filled in a form sees it beside its field."""
    wrong = {"name": "a", "kind": "rest", "notify": {"kind": "zz"}}
    for path in ("/connectors/preview", "/connectors"):
        answer = api.post(path, wrong)
        problem(answer, 422)
        assert [error["place"] for error in answer.json()["errors"]] == ["body.config.base_url"]
    unknown = api.post("/connectors/preview", wrong | {"kind": "rset"})
    assert [error["place"] for error in unknown.json()["errors"]] == ["body.kind"]


def test_only_listed_connections_are_used_and_no_secret_is_shown(api: Api, db: DictConnection, source: Source) -> None:
    """Nothing is asked with a connection that is not listed for the caller; of one that is, no secret is shown."""
    alice = api.as_(ALICE)
    secret = connector(source.url, conn_id="shop", auth={"type": "bearer"})
    assert "shop is not among the connections" in problem(alice.post("/connectors/preview", secret), 403)
    assert "rows of your own only" in problem(alice.post("/connectors/preview", secret | {"owner": "bob"}), 403)
    assert source.asked == []
    db.execute("insert into connection_grant (owner, conn_id) values ('alice', 'shop')")
    shown = alice.post("/connectors/preview", secret)
    assert "***" in str(ok(shown)["pages"])
    assert PASSWORD not in shown.text
    assert source.asked[0][1]["authorization"] == f"Bearer {PASSWORD}"
    unknown = connector(source.url, conn_id="nobody", auth={"type": "bearer"})
    assert "Airflow has no connection 'nobody'" in problem(api.post("/connectors/preview", unknown), 422)


def test_a_kind_that_is_pushed_to_says_where(api: Api) -> None:
    """What does not pull needs no connection to be tried out: it names the path of its URL."""
    pushed = {"name": "my shop", "kind": "webhook", "config": {"conn_id": "nobody"}}
    made = ok(api.post("/connectors/preview", pushed))
    assert (made["pushed_to"], made["requests"], made["pages"]) == ("/millrace/hooks/{id}", [], [])


def test_no_more_than_a_few_are_under_way_at_once(api: Api) -> None:
    """While a few sources let the API wait, others are told to come again, and everything else is answered."""
    arrived, go_on = threading.Semaphore(0), threading.Event()

    def answer(*_: Any) -> tuple[int, Any]:
        arrived.release()
        assert go_on.wait(60)
        return 200, {"items": []}

    with answering(answer) as url:
        answers: list[Any] = []
        asking = [
            threading.Thread(target=lambda: answers.append(api.post("/connectors/preview", connector(url))))
            for _ in range(4)
        ]
        try:
            for thread in asking:
                thread.start()
            for _ in asking:
                assert arrived.acquire(timeout=60)
            refused = api.post("/connectors/preview", connector(url))
            assert "ask again later" in problem(refused, 503)
            assert refused.headers["retry-after"]
            assert ok(api.get("/connectors"))["items"] == []
        finally:
            go_on.set()
            for thread in asking:
                thread.join()
        assert [answer.status_code for answer in answers] == [200] * 4
        ok(api.post("/connectors/preview", connector(url)))


@pytest.fixture
def user_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package for code of users, which `python` connectors name."""
    package = tmp_path / "api_preview_code"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MILLRACE_DATABASE_URL", "postgresql:///")
    monkeypatch.setenv("MILLRACE_USER_CODE", package.name)
    settings.cache_clear()
    yield package
    settings.cache_clear()
    for name in [name for name in sys.modules if name.startswith(package.name)]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("payload", "status", "said"),
    [
        ("{'n': 1}", 200, "'n': 1"),
        ("'a\\0\\ud800'", 200, "\ufffd?"),
        ("float('inf')", 422, "cannot be stored"),
        ("{1, 2}", 422, "not JSON serializable"),
        ("1 / 0", 422, "ZeroDivisionError"),
        ("exec('raise SystemExit')", 422, "SystemExit"),
    ],
)
def test_code_of_users_does_no_harm(api: Api, user_code: Path, payload: str, status: int, said: str) -> None:
    """Whatever a generator yields or raises, it is shown or is the reason; it runs in a thread of its own."""
    code = f"from include.model import Page, Record\ndef pull(cursor):\n    yield Page([Record('k', {payload})], 1)\n"
    (user_code / "pulls.py").write_text(code)
    answer = api.post("/connectors/preview", {"name": "a", "kind": "python", "config": {"function": "pulls:pull"}})
    assert answer.status_code == status, answer.text
    assert said in str(answer.json())
