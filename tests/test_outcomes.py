"""Whatever an attempt leaves behind ends in the ledger, and holds up nobody else's outcome."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg.types.json import Jsonb

import include.actions
from include import registry
from include.retry import RetryPolicy
from include.shifts.bell import utcnow
from include.store import dead_letters
from include.store.db import DictConnection
from tests.fake_http import sending
from tests.shift_stage import add, answering, executions, opened_post, stage, stand, until
from tests.test_ledger import ledger, result, wish
from tests.test_store import add_job, one

SECOND = timedelta(seconds=1)

ODD = '''
"""A kind of somebody's own, which takes no care of what it says."""

from include import model
from include.errors import PermanentError
from include.model import Output


class Config(model.Config):
    what: str


async def act(call):
    what = call.config.what
    if what == "error":
        raise PermanentError("caf\\udce9\\x00", excerpt="\\x00\\ud800")
    if what == "text":
        return Output(line="a\\x00b", excerpt="c\\udce9d")
    data = {"nul": {"a\\x00": ["\\ud800"]}, "object": {"x": object()}, "nan": {"x": float("nan")}}
    return Output(line="done", data=data[what])
'''


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kind is a file where kinds are, beside the real ones."""
    folder = tmp_path / "actions"
    folder.mkdir()
    (folder / "odd.py").write_text(ODD)
    monkeypatch.setattr(registry, "_HERE", tmp_path)
    monkeypatch.setattr(include.actions, "__path__", [*include.actions.__path__, str(folder)])
    for cache in (registry.action_kinds, registry.action):
        cache.cache_clear()
    yield
    for cache in (registry.action_kinds, registry.action):
        cache.cache_clear()
    sys.modules.pop("include.actions.odd", None)
    vars(include.actions).pop("odd", None)


def add_odd(db: DictConnection, what: str, **columns: Any) -> int:
    return add_job(db, what, kind="odd", payload=Jsonb({"what": what}), **columns)


@pytest.mark.usefixtures("odd")
async def test_what_postgresql_cannot_store_is_replaced_or_fails(database_url: str, db: DictConnection) -> None:
    """NUL and lone surrogates are replaced, whoever says them; what is no JSON fails, and is not done again."""
    async with opened_post(database_url) as post:
        for what in ("text", "nul", "error", "object", "nan"):
            await stand(post, add_odd(db, what), utcnow(), by_hand=True)
    text, nul, error, no_json, no_number = executions(db)
    assert (text["status"], text["output"]) == ("success", {"line": "a\ufffdb", "excerpt": "c?d"})
    assert (nul["status"], nul["output"]) == ("success", {"line": "done", "a\ufffd": ["?"]})
    assert (error["status"], error["error"], error["attempts"][0]["excerpt"]) == ("failed", "caf?\ufffd", "\ufffd?")
    for row in (no_json, no_number):
        assert (row["status"], row["attempt"]) == ("failed", 1)
        assert "its output cannot be kept: it is no JSON" in row["error"]


@pytest.mark.usefixtures("odd")
async def test_an_odd_outcome_is_no_reason_to_do_it_again(database_url: str, db: DictConnection) -> None:
    """A shift that holds many occurrences goes on to the next, and does not repeat the one that it could not keep."""
    async with opened_post(database_url) as post:
        job_id = add_odd(db, "object", every="1 second", every_mode="fixed_delay", starts_at=utcnow())
        shift = asyncio.create_task(stand(post, job_id, utcnow()))
        await until(lambda: sum(row["status"] == "failed" for row in executions(db)) >= 2)
        db.execute("delete from job")
        await shift
    assert {row["attempt"] for row in executions(db) if row["status"] == "failed"} == {1}


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na\x00b\xff\xed",
        b"HTTP/1.1 500 \xff\x01\r\nContent-Length: 3\r\n\r\na\x00b",
        b"HTTP/1.1 302 Found\r\nLocation: http://\xffhost.example/\xed\xa0\x80\r\nContent-Length: 0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("kind", ["http", "ping", "webhook"])
async def test_bytes_from_a_server_hold_up_nobody(
    database_url: str, db: DictConnection, kind: str, reply: bytes
) -> None:
    """Whatever bytes a server answers with, its job's outcome is written, and so are those of the same batch."""
    async with stage(database_url) as (post, plain), sending(reply) as strange:
        jobs = add(db, strange, "strange", kind=kind, retries=0), add(db, plain, "plain")
        endings = await asyncio.gather(*(stand(post, job_id, utcnow(), by_hand=True) for job_id in jobs))
    assert endings[0].state in ("success", "failed")
    assert endings[1].state == "success"
    assert [row["status"] for row in executions(db)] == [ending.state for ending in endings]


@pytest.mark.parametrize(
    "poison", [{"error": "caf\udce9"}, {"error": "\x00"}, {"output": {"x": object()}}, {"output": {"x": "\x00"}}]
)
async def test_one_outcome_that_cannot_be_sent_fails_alone(
    database_url: str, db: DictConnection, poison: dict[str, Any]
) -> None:
    """Where Python already refuses to encode it, or the database to store it, the others of its batch are written."""
    jobs = [add_job(db, name) for name in "abc"]
    async with ledger(database_url) as owner:
        wishes = [await wish(owner, job_id) for job_id in jobs]
        claims = [await owner.claim(made) for made in wishes]
        results = [result(made, claim) for made, claim in zip(wishes, claims, strict=True)]
        results[1] = result(wishes[1], claims[1], "failed", **poison)
        written = await asyncio.gather(*map(owner.finish, results), return_exceptions=True)
    assert (written[0], written[2]) == (True, True)
    assert isinstance(written[1], Exception)


async def test_an_outcome_sent_twice_does_not_forget_what_was_asked_in_between(
    database_url: str, db: DictConnection
) -> None:
    """Written again after a lost answer, a failure leaves it to be redriven, if a person asked for that meanwhile."""
    job_id = add_job(db)
    async with ledger(database_url) as owner:
        made = await wish(owner, job_id)
        failed = result(made, await owner.claim(made), "failed", error="HTTP 500")
        assert await owner.finish(failed)
        assert dead_letters.redrive_executions(db, [(job_id, made.due)]) == [(job_id, made.due)]
        assert await owner.finish(failed)
    assert one(db, "select redrive_at is not null as asked from execution") == {"asked": True}


@pytest.mark.parametrize("seconds", [1e10, 1e300, float("inf")])
def test_a_wait_has_a_greatest_length(seconds: float) -> None:
    """However long a receiver wants to be left alone, it is asked again after 30 days."""
    assert RetryPolicy().wait(1, "job", seconds) == timedelta(days=30)


async def test_a_receiver_that_never_wants_to_be_asked_again_is(database_url: str, db: DictConnection) -> None:
    """A `Retry-After` of ages ends neither the shift nor the run in an error."""
    async with stage(database_url, answering(503, headers={"Retry-After": "9" * 30})) as (post, server):
        ending = await stand(post, add(db, server), utcnow(), by_hand=True)
    assert ending.state == "retry"
    assert ending.after_seconds is not None
    assert ending.after_seconds <= timedelta(days=30).total_seconds()
    assert executions(db)[0]["status"] == "retrying"
