"""Where deliveries are pushed to, and that strangers do not learn from an address what there is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from include.api import hooks
from include.store.db import DictConnection
from tests.api_server import Api, add_connector, serving, signed

pytestmark = pytest.mark.xdist_group("api")  # FastAPI is imported in one process only

UNPROVEN = "nothing here takes this delivery: the address is wrong, or it is not signed with the connector's secret"
WRONG = signed(b"[]")


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    async with serving(database_url) as running:
        yield running


async def answered(api: Api, address: str | int, headers: dict[str, str]) -> tuple[Any, ...]:
    """All of an answer to `{}` but its date."""
    async with api.client.post(api.url(f"/hooks/{address}"), data=b"{}", headers=headers) as response:
        told = [header for header in response.raw_headers if header[0].lower() != b"date"]
        return response.status, response.reason, told, await response.read()


def stored(db: DictConnection) -> dict[int, list[str]]:
    """The keys of records, by connector."""
    rows = db.execute("select connector_id, array_agg(key order by position) as keys from record group by 1")
    return {int(str(row["connector_id"])): list(row["keys"]) for row in rows}  # type: ignore[call-overload]  # it is text[]


async def test_a_connectors_address_is_its_id(api: Api, db: DictConnection) -> None:
    """Whatever it is called, also by digits; a name goes on working, and one that is all digits means an id."""
    orders = add_connector(db, "orders")
    digits = add_connector(db, str(orders))
    for address, message in ((orders, "a"), ("orders", "b"), (digits, "c"), (f"00{digits}", "d")):
        assert (await api.push(address, b"{}", signed(b"{}", message))).status == 202
    assert stored(db) == {orders: ["a", "b"], digits: ["c", "d"]}


async def test_a_name_is_the_address_of_who_has_had_it_for_longest(api: Api, db: DictConnection) -> None:
    """Bob's connector of the same name takes no delivery of Alice's, though it is older, nor does hers take his; both
    have their ids."""
    bobs = add_connector(db, "news", owner="bob", conn_id="token", verify="bearer")
    alices = add_connector(db, "orders", owner="alice")
    db.execute("update connector set name = 'orders' where owner = 'bob'")
    db.execute("update connector set name = name, alert_after = 7")
    his = {"Authorization": "Bearer a-token", "Idempotency-Key": "his"}
    assert (await api.push("orders", b"{}", signed(b"{}", "by name"))).status == 202
    assert (await api.push("orders", b"{}", his)).status == 401
    assert (await api.push(alices, b"{}", signed(b"{}", "by id"))).status == 202
    assert (await api.push(bobs, b"{}", his)).status == 202
    assert stored(db) == {alices: ["by name", "by id"], bobs: ["his"]}


NOWHERE = [
    "nobody",
    "",
    "in/",
    "IN",
    "%00",
    "in%00",
    "x" * 5000,
    "0",
    "999999",
    "9" * 19,
    "9" * 5000,
    "%F0%9F%9A%80%FF",
]


@pytest.mark.parametrize("address", NOWHERE)
async def test_a_wrong_address_is_answered_as_a_wrong_signature(
    api: Api, db: DictConnection, caplog: pytest.LogCaptureFixture, address: str
) -> None:
    """To the byte, whether the delivery is signed or not; the log knows which it was."""
    connector = add_connector(db)
    wrong = await answered(api, connector, WRONG)
    assert (wrong[0], UNPROVEN in wrong[3].decode()) == (401, True)
    assert "no signature in webhook-signature fits the delivery" in caplog.text
    assert await answered(api, address, WRONG) == wrong
    assert await answered(api, address, signed(b"{}")) == wrong
    assert await answered(api, address, {}) == wrong
    assert "no connector has this id, or this name" in caplog.text
    assert stored(db) == {}


@pytest.mark.parametrize(
    ("change", "logged"),
    [
        ("kind = 'python'", "is not pushed to"),
        ("kind = 'nonsense'", "unknown kind 'nonsense'"),
        ("""config = '{"conn_id": "gone"}'""", "Airflow has no connection 'gone'"),
        ("""config = '{"conn_id": "empty"}'""", "connection 'empty' has no secret"),
        ("config = '{}'", "conn_id"),
    ],
)
async def test_a_connector_that_can_take_nothing_is_answered_as_one_that_is_not_there(
    api: Api, db: DictConnection, caplog: pytest.LogCaptureFixture, change: str, logged: str
) -> None:
    """One that pulls, or that is set up wrong, can know nobody; the log says what is to be mended, and where."""
    connector = add_connector(db)
    db.execute(f"update connector set {change}".encode())
    nowhere = await answered(api, "nobody", signed(b"{}"))
    assert logged not in caplog.text
    assert await answered(api, connector, signed(b"{}")) == nowhere
    assert await answered(api, "in", signed(b"{}")) == nowhere
    assert logged in caplog.text
    assert "/hooks/in" in caplog.text


@pytest.mark.parametrize("change", ["is_active = false", "paused_until = now() + interval '1 hour'"])
async def test_a_pause_is_told_to_who_has_proved_himself(api: Api, db: DictConnection, change: str) -> None:
    """The sender is asked to wait; strangers hear what they hear everywhere."""
    connector = add_connector(db)
    db.execute(f"update connector set {change}".encode())
    assert (await api.push(connector, b"{}")).status == 503
    nowhere = await answered(api, "nobody", WRONG)
    for headers in (WRONG, {}):
        assert await answered(api, connector, headers) == nowhere
    assert stored(db) == {}


async def test_strangers_who_wait_for_their_answer_keep_nobody_waiting(
    api: Api, db: DictConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than there are turns and connections hold none of these: a genuine delivery is taken meanwhile."""
    monkeypatch.setattr(hooks, "_UNPROVEN_SECONDS", 5)  # longer than a machine stands still
    connector = add_connector(db)
    strangers = [asyncio.create_task(answered(api, address, WRONG)) for address in [connector, "nobody"] * 30]
    _, early = await asyncio.wait(strangers, timeout=0.5)
    assert (await api.push(connector, b"{}")).status == 202
    assert sum(not stranger.done() for stranger in early) > hooks._AT_ONCE
    assert {answer[0] for answer in await asyncio.gather(*strangers)} == {401}


async def test_how_long_an_answer_takes_tells_nothing(api: Api, db: DictConnection) -> None:
    """To see that there is no connector is as slow as to look a secret up, and to compare."""
    for address in (add_connector(db), "nobody"):
        began = time.monotonic()
        assert (await answered(api, address, WRONG))[0] == 401
        assert time.monotonic() - began >= hooks._UNPROVEN_SECONDS
