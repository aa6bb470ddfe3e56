"""What is pushed: who sent it, and what records are in it."""

from __future__ import annotations

import base64
import hmac
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from standardwebhooks import Webhook

from include.connectors.webhook import receive
from include.errors import ConfigError, RefusedError
from include.model import Connection, Delivery, Received, Record
from include.registry import source

# The example of the specification's own test suite.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(b"another key of thirty-two bytes!").decode()
VECTOR_AT = datetime.fromtimestamp(1614265330, timezone.utc)
VECTOR_BODY = b'{"test": 2432232314}'
VECTOR = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)


def connection(password: str | None = SECRET, **extra: object) -> Connection:
    return Connection("hooks", password=password, extra=extra)


def delivery(
    body: bytes | object,
    headers: dict[str, str],
    held: Connection | None = None,
    *,
    now: datetime = NOW,
    **config: object,
) -> Delivery[Any]:
    settings = source("webhook").parse({"conn_id": "hooks", **config})
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Delivery(settings, headers, raw, held or connection(), now)


def signed(body: bytes, secret: str = SECRET, at: datetime = NOW, message_id: str = "msg_1") -> dict[str, str]:
    """The headers that the reference library sends with a body."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, at, body.decode()),
    }


async def refused(what: Delivery[Any], status: int) -> str:
    with pytest.raises(RefusedError) as refusal:
        await receive(what)
    assert refusal.value.status == status
    assert SECRET not in str(refusal.value)
    return str(refusal.value)


async def test_the_vector_of_the_specification_is_accepted() -> None:
    """The example signature of Standard Webhooks is genuine, and its id is the delivery's."""
    got = await receive(delivery(VECTOR_BODY, VECTOR, now=VECTOR_AT))
    assert got == Received([Record(VECTOR["webhook-id"], {"test": 2432232314})], VECTOR["webhook-id"])


@pytest.mark.parametrize("name", sorted(VECTOR))
async def test_each_header_of_the_standard_is_needed(name: str) -> None:
    """A delivery without one of the three headers is refused, with the header's name."""
    headers = {header: value for header, value in VECTOR.items() if header != name}
    assert await refused(delivery(VECTOR_BODY, headers, now=VECTOR_AT), 401) == f"header {name} is missing"


@pytest.mark.parametrize(
    ("change", "body"),
    [
        ({}, VECTOR_BODY + b" "),
        ({"webhook-id": "msg_other"}, VECTOR_BODY),
        ({"webhook-timestamp": "1614265331"}, VECTOR_BODY),
        ({"webhook-signature": "v1,AAAA"}, VECTOR_BODY),
        ({"webhook-signature": VECTOR["webhook-signature"].replace("v1,", "v2,")}, VECTOR_BODY),
        ({"webhook-signature": "v1"}, VECTOR_BODY),
        ({"webhook-signature": "v1,\xff\u20ac"}, VECTOR_BODY),
    ],
)
async def test_what_does_not_fit_the_signature_is_refused(change: dict[str, str], body: bytes) -> None:
    """A signature counts for exactly one id, time and body, and only if it is well-formed."""
    reason = await refused(delivery(body, VECTOR | change, now=VECTOR_AT), 401)
    assert reason == "no signature in webhook-signature fits the delivery"


@pytest.mark.parametrize(("seconds", "way"), [(301, "ago"), (-301, "ahead"), (86_400, "ago")])
async def test_a_recorded_delivery_cannot_be_sent_again_later(seconds: int, way: str) -> None:
    """More than five minutes after it was signed, or before, a delivery is refused."""
    what = delivery(VECTOR_BODY, VECTOR, now=VECTOR_AT + timedelta(seconds=seconds))
    assert await refused(what, 401) == f"webhook-timestamp is more than 5 minutes {way}"


@pytest.mark.parametrize("seconds", [300, -300])
async def test_clocks_may_differ_by_five_minutes(seconds: int) -> None:
    """Up to five minutes either way a delivery is genuine."""
    assert (await receive(delivery(VECTOR_BODY, VECTOR, now=VECTOR_AT + timedelta(seconds=seconds)))).records


@pytest.mark.parametrize("timestamp", ["soon", "1614265330.0", "nan", "-1", "٣", "9" * 400])
async def test_a_time_that_is_no_number_of_seconds_is_refused(timestamp: str) -> None:
    """Only whole seconds since 1970 are a time."""
    what = delivery(VECTOR_BODY, VECTOR | {"webhook-timestamp": timestamp}, now=VECTOR_AT)
    assert await refused(what, 401) == "webhook-timestamp is not in whole seconds since 1970"


@pytest.mark.parametrize("secret", [SECRET, OTHER])
@pytest.mark.parametrize(
    "held",
    [
        connection(f"{SECRET}  {OTHER}\n"),
        connection(SECRET, secrets=[OTHER]),
        connection(None, secrets=[SECRET, OTHER]),
    ],
)
async def test_while_a_secret_is_changed_both_count(secret: str, held: Connection) -> None:
    """With two secrets in the connection, what is signed with either is genuine."""
    body = b'{"a": "\xc3\xa4"}'
    assert (await receive(delivery(body, signed(body, secret), held))).id == "msg_1"


async def test_a_sender_that_changes_its_secret_signs_with_both() -> None:
    """One of several signatures in the header is enough, whatever else is there."""
    body = b"[]"
    ours = signed(body)["webhook-signature"]
    given = signed(body) | {"webhook-signature": f"v1a,abc nonsense v1,AAAA {ours}"}
    assert await receive(delivery(body, given)) == Received([], "msg_1")


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        (connection(None), "has no secret"),
        (connection("  "), "has no secret"),
        (connection("whsec_"), "is whsec_ and base64"),
        (connection("whsec_not base64!"), "is whsec_ and base64"),
        (connection("whpk_" + SECRET[6:]), "is whsec_ and base64"),
        (connection(SECRET, secrets="another"), "as a list of texts"),
        (connection(SECRET, secrets=[1]), "as a list of texts"),
    ],
)
async def test_a_connection_without_a_usable_secret_is_our_mistake(held: Connection, reason: str) -> None:
    """What is wrong with a connection is told to its owner, without what it holds."""
    with pytest.raises(ConfigError, match=reason) as error:
        await receive(delivery(VECTOR_BODY, VECTOR, held, now=VECTOR_AT))
    assert SECRET[6:] not in str(error.value)
    assert "not base64!" not in str(error.value)


@pytest.mark.parametrize(
    ("config", "header", "value"),
    [
        # The example in GitHub's documentation of X-Hub-Signature-256.
        ({}, "x-hub-signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"),
        ({}, "x-hub-signature-256", "sha256=757107EA0EB2509FC211221CCE984B8A37570B6D7586C22C46F4379C8B043E17"),
        (
            {"header": "X-Shop-Hmac", "prefix": "", "encoding": "base64"},
            "x-shop-hmac",
            "dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc=",
        ),
    ],
)
async def test_signed_bodies_are_verified(config: dict[str, object], header: str, value: str) -> None:
    """The signature of the body alone is genuine, in the header and the spelling that the row names."""
    held = connection("It's a Secret to Everybody")
    what = delivery(b"Hello, World!", {header: value}, held, verify="hmac", **config)
    assert "not JSON" in await refused(what, 400)  # verified, and then read
    wrong = delivery(b"Hello, World?", {header: value}, held, verify="hmac", **config)
    assert "does not fit the delivery" in await refused(wrong, 401)


@pytest.mark.parametrize("algorithm", ["sha1", "sha512"])
async def test_other_hash_functions_name_themselves_before_the_signature(algorithm: str) -> None:
    """Unless the row says otherwise the algorithm stands before the signature, and the id is GitHub's."""
    spelt = hmac.new(b"key", b"{}", algorithm).hexdigest()
    headers = {"x-hub-signature-256": f"{algorithm}={spelt}", "x-github-delivery": "d-1"}
    got = await receive(delivery({}, headers, connection("key"), verify="hmac", algorithm=algorithm))
    assert got == Received([Record("d-1", {})], "d-1")
    bare = headers | {"x-hub-signature-256": spelt}
    await refused(delivery({}, bare, connection("key"), verify="hmac", algorithm=algorithm), 401)


async def test_a_missing_signature_is_named() -> None:
    """Without the header that the row names a delivery is refused, with the name as the row spells it."""
    what = delivery({}, {}, verify="hmac", header="X-Signed")
    assert await refused(what, 401) == "header X-Signed is missing"


@pytest.mark.parametrize("value", [f"Bearer {SECRET}", f"bearer {SECRET}", "Bearer other token"])
async def test_a_token_is_genuine_if_the_connection_holds_it(value: str) -> None:
    """The scheme is spelt in either case; a second token counts while the first is changed."""
    held = connection(SECRET, secrets=["other token"])
    headers = {"authorization": value, "x-request": "r-1"}
    got = await receive(delivery({}, headers, held, verify="bearer", id_header="X-Request"))
    assert got.id == "r-1"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "header Authorization is missing"),
        (f"Basic {SECRET}", "header Authorization is not a Bearer token"),
        (SECRET, "header Authorization is not a Bearer token"),
        ("Bearer", "the token in Authorization is not the right one"),
        (f"Bearer {SECRET}x", "the token in Authorization is not the right one"),
        (f"Bearer {SECRET[:-1]}\u20ac", "the token in Authorization is not the right one"),
    ],
)
async def test_any_other_token_is_refused(value: str | None, reason: str) -> None:
    """A token is right as a whole or not at all."""
    headers = {} if value is None else {"authorization": value}
    assert await refused(delivery({}, headers, verify="bearer"), 401) == reason
