"""Settings of a job that are tried out over HTTP: the receiver is really called, and nothing is stored."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from fastapi.testclient import TestClient

import tests.api_client
from include.api.app import create_app
from include.documents.caller import Caller
from include.errors import ConfigError
from include.model import Connection
from include.settings import Settings
from include.store.db import DictConnection
from tests.api_client import ADMIN, ALICE, BOB, VIEWER, Api, ok, problem, stated_login
from tests.json_server import answering
from tests.test_outcomes import odd  # noqa: F401 - a fixture

pytestmark = pytest.mark.xdist_group("api")

TOKEN = "xoxb-a-secret"


class Receiver:
    """Notes what it is asked, and answers with `status`, and with the login that it was sent, as none should."""

    def __init__(self) -> None:
        self.status = 200
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.url = ""

    def answer(self, method: str, _path: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
        self.asked.append((method, headers, body))
        return self.status, {"ok": True, "login": headers.get("authorization")}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    with answering(made.answer) as url:
        made.url = url
        yield made


@pytest.fixture
def api(database_url: str, receiver: Receiver) -> Iterator[Api]:
    """With one connection: Slack, at the receiver."""

    async def find(conn_id: str) -> Connection:
        if conn_id != "chat":
            raise ConfigError(f"Airflow has no connection {conn_id!r}")
        return Connection("chat", type="slack", password=TOKEN, extra={"base_url": receiver.url})

    allowed = Settings(database_url=database_url, egress_allow=(ip_network("127.0.0.0/8"),))
    with TestClient(create_app(allowed, find=find, login=stated_login), base_url="http://millrace.test") as client:
        yield Api(client, ADMIN)


def nothing_is_stored(db: DictConnection) -> bool:
    tables = ("job", "execution", "trial", "audit", "lease")
    return not any(db.execute(f"select 1 from {table}".encode()).fetchall() for table in tables)


def test_a_trial_is_one_attempt_and_leaves_nothing_behind(api: Api, db: DictConnection, receiver: Receiver) -> None:
    """The receiver is called once, as a job would call it; what came back is answered as the ledger would have it."""
    hook = {"kind": "webhook", "payload": {"url": receiver.url, "body": {"n": 1}}}
    made = ok(api.as_(ALICE).post("/jobs/trial", hook))
    [(method, headers, body)] = receiver.asked
    assert (method, body) == ("POST", {"n": 1})
    assert headers["webhook-id"].startswith("trial_")
    assert (made["id"], made["kind"], made["status"], made["code"], made["error"]) == (
        None,
        "webhook",
        "success",
        200,
        None,
    )
    [attempt] = made["attempts"]
    assert (attempt["attempt"], attempt["code"], attempt["excerpt"]) == (1, 200, '{"ok": true, "login": null}')
    assert made["output"]["excerpt"] == attempt["excerpt"]
    assert made["duration"] >= 0
    assert made["started_at"] <= made["finished_at"]
    assert nothing_is_stored(db)


def test_a_whole_form_can_be_tried(api: Api, receiver: Receiver) -> None:
    """Whatever else describes the job is taken and not used; each trial calls under a key of its own."""
    ping = {"kind": "ping", "payload": {"url": receiver.url}, "name": "nightly", "cron": "0 3 * * *", "retries": 9}
    assert [ok(api.post("/jobs/trial", ping))["status"] for _ in range(2)] == ["success"] * 2
    hook = {**ping, "kind": "webhook"}
    ok(api.post("/jobs/trial", hook))
    ok(api.post("/jobs/trial", hook))
    assert len({headers["webhook-id"] for _, headers, _ in receiver.asked[2:]}) == 2


def test_a_failure_is_a_result(api: Api, db: DictConnection, receiver: Receiver) -> None:
    """What the receiver says, that nobody is there, or may be asked, is a trial that has failed, after one attempt."""
    receiver.status = 503
    failed = ok(api.post("/jobs/trial", {"kind": "webhook", "payload": {"url": receiver.url}, "retries": 3}))
    assert (failed["status"], failed["code"], failed["output"], len(receiver.asked)) == ("failed", 503, None, 1)
    assert "503" in failed["error"]
    assert failed["attempts"][0]["error"] == failed["error"]
    nobody = ok(api.post("/jobs/trial", {"kind": "ping", "payload": {"url": "http://127.0.0.1:1/"}}))
    refused = ok(api.post("/jobs/trial", {"kind": "ping", "payload": {"url": "http://10.0.0.1/"}}))
    assert (nobody["status"], refused["status"], refused["code"]) == ("failed", "failed", None)
    assert "10.0.0.1" in refused["error"]
    assert nothing_is_stored(db)


def test_an_attempt_has_the_time_of_the_row(api: Api) -> None:
    """What has not answered within `timeout` has failed, and says after which time."""
    go_on = threading.Event()

    def answer(*_: Any) -> tuple[int, Any]:
        assert go_on.wait(60)
        return 200, {}

    with answering(answer) as url:
        try:
            made = ok(api.post("/jobs/trial", {"kind": "ping", "payload": {"url": url}, "timeout": 0.2}))
        finally:
            go_on.set()
    assert made["status"] == "failed"
    assert "0.2 s" in made["error"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "ping", "payload": {}}, "body.payload.url: Field required"),
        ({"kind": "ping", "payload": {"url": 5}}, "body.payload.url"),
        ({"kind": "pong", "payload": {}}, "did you mean 'ping'?"),
        ({"payload": {}}, "body.kind: Field required"),
        ({"kind": "ping", "payload": {"url": "http://a/"}, "timeouts": 3}, "body.timeouts"),
        ({"kind": "ping", "payload": {"url": "http://a/\0"}}, "NUL"),
        ([], "body"),
    ],
)
def test_what_makes_no_sense_is_refused_as_for_a_job(api: Api, db: DictConnection, settings: Any, said: str) -> None:
    """Nothing is tried: the problem says what is wrong, and where."""
    assert said in problem(api.post("/jobs/trial", settings), 422)
    assert nothing_is_stored(db)


def test_who_may_not_have_such_a_job_may_not_try_it(
    api: Api, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Viewers try nothing, users no kind that is for admins, and nothing in the name of others."""
    ping = {"kind": "ping", "payload": {"url": receiver.url}}
    problem(api.as_(VIEWER).post("/jobs/trial", ping), 403)
    assert "rows of your own only" in problem(api.as_(ALICE).post("/jobs/trial", ping | {"owner": "bob"}), 403)
    limited = Caller("alice", may_write=True, is_admin=False, admin_kinds=frozenset({"ping"}))
    monkeypatch.setitem(tests.api_client.CALLERS, "alice", limited)
    assert "'ping' is for admins" in problem(api.as_(ALICE).post("/jobs/trial", ping), 403)
    assert receiver.asked == []
    assert ok(api.post("/jobs/trial", ping | {"owner": "bob"}))["status"] == "success"


def test_only_listed_connections_are_used_and_no_secret_is_shown(
    api: Api, db: DictConnection, receiver: Receiver
) -> None:
    """Nothing is sent by a connection that is not listed for the caller; by one that is, no secret comes back."""
    alice = api.as_(ALICE)
    chat = {"kind": "slack", "payload": {"conn_id": "chat", "channel": "#ops", "text": "hello"}}
    assert "chat is not among the connections" in problem(alice.post("/jobs/trial", chat), 403)
    assert receiver.asked == []
    db.execute("insert into connection_grant (owner, conn_id) values ('alice', 'chat'), ('alice', 'nobody')")
    for receiver.status in (200, 500):
        shown = alice.post("/jobs/trial", chat)
        assert ok(shown)["status"] == ("success" if receiver.status == 200 else "failed")
        assert "***" in ok(shown)["attempts"][0]["excerpt"]
        assert "a-secret" not in shown.text
    assert [body["text"] for _, _, body in receiver.asked] == ["hello"] * 2
    unknown = ok(
        alice.post(
            "/jobs/trial", {"kind": "slack", "payload": {"conn_id": "nobody", "channel": "#ops", "text": "hello"}}
        )
    )
    assert (unknown["status"], unknown["error"]) == ("failed", "Airflow has no connection 'nobody'")


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize(
    ("what", "status", "said"),
    [
        ("text", "success", "a\ufffdb"),
        ("nul", "success", "'a\ufffd': ['?']"),
        ("error", "failed", "caf?\ufffd"),
        ("object", "failed", "cannot be shown: it is no JSON"),
        ("nan", "failed", "cannot be shown: it is no JSON"),
        ("no such thing", "failed", "raised KeyError"),
    ],
)
def test_whatever_a_kind_leaves_behind_is_answered(api: Api, what: str, status: str, said: str) -> None:
    """A kind of somebody's own that takes no care of what it says does no harm."""
    made = ok(api.post("/jobs/trial", {"kind": "odd", "payload": {"what": what}}))
    assert made["status"] == status
    assert said in str(made["output"] if status == "success" else made["error"])


def test_no_more_than_a_few_are_under_way_at_once(api: Api) -> None:
    """Who has a few under way is told to come again, and nobody else; who comes when there are many is told so, too.

    Everything else is answered meanwhile.
    """
    arrived, go_on = threading.Semaphore(0), threading.Event()

    def answer(*_: Any) -> tuple[int, Any]:
        arrived.release()
        assert go_on.wait(60)
        return 200, {}

    with answering(answer) as url:
        ping = {"kind": "ping", "payload": {"url": url}}
        answers: list[Any] = []
        asking: list[threading.Thread] = []

        def have_four(caller: Caller) -> None:
            more = [threading.Thread(target=lambda: answers.append(tried(caller))) for _ in range(4)]
            for thread in more:
                thread.start()
            asking.extend(more)
            for _ in more:
                assert arrived.acquire(timeout=60)

        def tried(caller: Caller) -> Any:
            return api.as_(caller).post("/jobs/trial", ping)

        try:
            have_four(ADMIN)
            refused = tried(ADMIN)
            assert "4 trials of yours are under way: try it again later" in problem(refused, 503)
            assert refused.headers["retry-after"]
            have_four(ALICE)
            assert problem(tried(BOB), 503).startswith("8 trials are under way")
            assert ok(api.get("/jobs"))["items"] == []
        finally:
            go_on.set()
            for thread in asking:
                thread.join()
        assert [ok(answer)["status"] for answer in answers] == ["success"] * 8
        assert [ok(tried(caller))["status"] for caller in (ADMIN, BOB)] == ["success"] * 2
