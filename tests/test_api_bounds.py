"""What one caller sends keeps nobody else waiting, and what is kept for him is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx2
import pytest

from include.api.app import create_app
from include.settings import Settings
from include.store.db import DictConnection
from tests.api_client import ALICE, Api, api_of, ok, problem, stated_login

pytestmark = pytest.mark.xdist_group("api")

TIMER = {"url": "https://example.com/", "hours": 1}


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_of(database_url) as running:
        yield running.as_(ALICE)


async def test_a_large_body_is_read_beside_everything_else(database_url: str) -> None:
    """While one of many megabytes is read, the loop that answers everybody goes on, thousands of times."""
    app = create_app(Settings(database_url=database_url), login=stated_login)
    body = b'{"documents": [' + b'{"a": {}},' * 100_000 + b"nonsense"
    headers = {"X-Caller": "alice", "Content-Type": "application/json"}
    turns = 0

    async def go_round() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://millrace.test") as client,
    ):
        others = asyncio.create_task(go_round())
        answer = await client.post("/api/v1/config/plan", content=body, headers=headers)
        others.cancel()
    assert "not JSON" in problem(answer, 400)
    assert turns > 1000


def test_answers_are_kept_up_to_a_bound(api: Api, db: DictConnection) -> None:
    """A user for whom 32 MiB are kept already sends without a key, or later; what he has sent is answered as before."""
    first = ok(api.post("/timers", TIMER, Idempotency_Key="a"), 201)
    db.execute(
        "insert into idempotency_key (caller, key, request, status, body) select caller, 'k' || n, '', 200,"
        " repeat('x', 1024 * 1024) from generate_series(1, 31) n, unnest(array['alice', 'bob']) caller"
    )
    second = api.post("/timers", TIMER, Idempotency_Key="b")
    assert ok(second, 201)["id"] != first["id"]
    db.execute("update idempotency_key set body = repeat('x', 3 * 1024 * 1024) where key = 'k1'")
    assert "kept for a day, 32 MiB at the most" in problem(api.post("/timers", TIMER, Idempotency_Key="c"), 403)
    assert ok(api.post("/timers", TIMER, Idempotency_Key="a"), 201) == first
    ok(api.post("/timers", TIMER), 201)
    db.execute("update idempotency_key set created_at = now() - interval '25 hours' where key = 'k1'")
    ok(api.post("/timers", TIMER, Idempotency_Key="c"), 201)
