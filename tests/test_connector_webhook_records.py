"""The records in what is pushed, and their keys."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest

from include.connectors.webhook import receive
from include.errors import ConfigError, RefusedError
from include.model import Connection, Delivery, Received, Record
from include.registry import source

NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)


async def pushed(body: object, delivery_id: str | None = None, **config: object) -> Received:
    """What a genuine delivery of `body` holds."""
    settings = source("webhook").parse({"conn_id": "hooks", "verify": "bearer", **config})
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"authorization": "Bearer token"} | ({"idempotency-key": delivery_id} if delivery_id is not None else {})
    return await receive(Delivery(settings, headers, raw, Connection("hooks", password="token"), NOW))


async def refused(status: int, body: object, delivery_id: str | None = None, **config: object) -> str:
    with pytest.raises(RefusedError) as refusal:
        await pushed(body, delivery_id, **config)
    assert refusal.value.status == status
    return str(refusal.value)


@pytest.mark.parametrize(
    ("body", "delivery_id", "records"),
    [
        ({"a": 1}, "d", [Record("d", {"a": 1})]),
        ([{"a": 1}, 2, None], "d", [Record("d:0", {"a": 1}), Record("d:1", 2), Record("d:2", None)]),
        ([{"a": 1}], "d", [Record("d:0", {"a": 1})]),
        ({"a": 1}, None, [Record(None, {"a": 1})]),
        ([{"a": 1}, {"a": 1}], None, [Record(None, {"a": 1}), Record(None, {"a": 1})]),
        ([], "d", []),
        ([], None, []),
        ({}, "", [Record(None, {})]),
    ],
)
async def test_an_object_is_a_record_and_a_list_is_many(
    body: object, delivery_id: str | None, records: list[Record]
) -> None:
    """Without a primary key the delivery's id is the key, with a number in lists; without an id, the content is."""
    assert await pushed(body, delivery_id) == Received(records, delivery_id or None)


@pytest.mark.parametrize(
    ("selector", "body", "payloads"),
    [
        ("$.data", {"data": {"id": 1}}, [{"id": 1}]),
        ("$.data.items", {"data": {"items": [{"id": 1}, {"id": 2}]}}, [{"id": 1}, {"id": 2}]),
        ("$.data.items", {"data": {"items": []}}, []),
        ("$.items[*].order", {"items": [{"order": 1}, {"order": 2}]}, [1, 2]),
        ("$", [{"id": 1}], [{"id": 1}]),
    ],
)
async def test_records_are_where_the_row_says(selector: str, body: object, payloads: list[object]) -> None:
    """A selector leads to an object, to a list, or to several places."""
    assert [record.payload for record in (await pushed(body, data_selector=selector)).records] == payloads


@pytest.mark.parametrize("body", [{}, {"data": None}, [], {"data": []}])
async def test_a_selector_that_finds_nothing_is_said(body: object) -> None:
    """Where there should be records and are none, the sender is told where we looked."""
    selector = "$.data[*]" if body == {"data": []} else "$.data"
    assert await refused(422, body, data_selector=selector) == f"nothing is at {selector} in the body"


@pytest.mark.parametrize(
    ("primary_key", "key"),
    [
        ("id", "a-1"),
        ("number", "7"),
        ("amount", "0.5"),
        ("open", "false"),
        ("$.nested.id", "n-1"),
        (["id", "number"], '["a-1",7]'),
        (["number", "$.nested.id"], '[7,"n-1"]'),
        (["id"], "a-1"),
        ("nested", '{"a":1,"id":"n-1"}'),
        ("'with.dot'", "d-1"),
    ],
)
async def test_a_primary_key_is_found_in_each_item(primary_key: object, key: str) -> None:
    """Fields by name or path, one or several, tell records apart; the delivery's id is its own still."""
    item = {"id": "a-1", "number": 7, "amount": 0.5, "open": False, "nested": {"id": "n-1", "a": 1}, "with.dot": "d-1"}
    assert await pushed([item], "d", primary_key=primary_key) == Received([Record(key, item)], "d")


@pytest.mark.parametrize("bad", [{}, {"id": None}, {"id": ""}, 5, "id", ["id"], None])
async def test_an_item_without_its_key_is_named(bad: object) -> None:
    """One item that lacks its key refuses the delivery, with the number of the item."""
    for field in ("id", "$.id"):
        reason = await refused(422, [{"id": 1}, bad], primary_key=field)
        assert reason == f"item 1, counted from 0, has no {field}, which is its primary key"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"a=1&b=2", "not JSON"),
        (b'{"a": 1} {}', "not JSON"),
        (b'{"a": NaN}', "not JSON: NaN"),
        (b'{"a": -Infinity}', "not JSON: -Infinity"),
        (b'{"a": 1e999}', "not JSON: 1e999"),
        (b'{"a": "\xff"}', "not in UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not in UTF-8"),
        (b"1", "send an object or a list"),
        (b'"text"', "send an object or a list"),
        (b"null", "send an object or a list"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    ],
)
async def test_what_is_not_json_is_refused(body: bytes, reason: str) -> None:
    """Nothing but an object or a list in JSON, in UTF-8, is taken."""
    assert reason in await refused(400, body)


async def test_an_id_that_could_not_be_stored_is_refused() -> None:
    """A delivery's id has at most 500 characters."""
    assert (await pushed({}, "x" * 500)).id == "x" * 500
    assert "longer than 500 characters" in await refused(400, {}, "x" * 501)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({}, "conn_id: Field required"),
        ({"conn_id": ""}, "conn_id"),
        ({"conn_id": "c", "secret": "x"}, "secret: Extra inputs"),
        ({"conn_id": "c", "verify": "none"}, "verify"),
        ({"conn_id": "c", "verify": "hmac", "algorithm": "md5"}, "algorithm"),
        ({"conn_id": "c", "verify": "hmac", "header": "a b"}, "header"),
        ({"conn_id": "c", "prefix": "x"}, "leave out prefix: verify is standard, not hmac"),
        ({"conn_id": "c", "verify": "bearer", "header": "X", "encoding": "hex"}, "leave out header, encoding"),
        ({"conn_id": "c", "id_header": "X-Id"}, "it is webhook-id"),
        ({"conn_id": "c", "data_selector": "$["}, "is not a JSONPath"),
        ({"conn_id": "c", "primary_key": "$["}, "is not a JSONPath"),
        ({"conn_id": "c", "primary_key": []}, "primary_key"),
        ({"conn_id": "c", "primary_key": [""]}, "primary_key"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused(config: dict[str, object], reason: str) -> None:
    """A setting that is wrong, or that would count for nothing, is an error that says so."""
    with pytest.raises(ConfigError) as error:
        source("webhook").parse(config)
    assert reason in str(error.value)


def test_it_is_pushed_to_and_never_pulled() -> None:
    """The kind runs in the API, and its summary says what it does."""
    kind = source("webhook")
    assert (kind.pull, kind.runs_on) == (None, "api")
    assert kind.summary.startswith("Receive records that are pushed")
