"""Receive records that are pushed; each delivery is verified with a secret that an Airflow connection holds.

`standard` is Standard Webhooks 1.0.0, `hmac` the signed body that GitHub, Shopify and many others send, `bearer` a
token as it is. Only the first signs when a delivery was sent and what its id is, so only there a delivery that somebody
recorded and sends again is refused; with the others, a `primary_key` out of the body makes it harmless.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from include import model
from include.connectors._paths import JsonPath, path
from include.connectors._rest_fields import to_json
from include.errors import RefusedError
from include.model import Delivery, Received, Record
from include.webhook_signature import keys_of, secrets_of, signature

_TOLERANCE_SECONDS = 5 * 60  # as in the reference implementations of Standard Webhooks
_ID_CAP = 500
_SECONDS = re.compile(r"[0-9]{1,15}")
_HMAC_ONLY = ("header", "prefix", "algorithm", "encoding")


HeaderName = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$")]  # RFC 9110 5.6.2


class Config(model.Config):
    conn_id: str = Field(
        min_length=1,
        description="The Airflow connection whose password is the secret. While a secret is being changed, more of "
        "them: a list `secrets` in its extra, or with verify = standard all in the password, separated by blanks.",
    )
    verify: Literal["standard", "hmac", "bearer"] = Field(
        default="standard", description="How a delivery proves where it comes from."
    )
    header: HeaderName = Field(default="X-Hub-Signature-256", description="hmac: the header that holds the signature.")
    prefix: str | None = Field(
        default=None, description="hmac: what stands before the signature; the algorithm and `=` unless written."
    )
    algorithm: Literal["sha256", "sha1", "sha512"] = Field(default="sha256", description="hmac: the hash function.")
    encoding: Literal["hex", "base64"] = Field(default="hex", description="hmac: how the signature is spelt.")
    id_header: HeaderName | None = Field(
        default=None,
        description="hmac, bearer: the header with the sender's id of the delivery; X-GitHub-Delivery with hmac and "
        "Idempotency-Key with bearer unless written.",
    )
    data_selector: JsonPath | None = Field(
        default=None, description="A JSONPath to the record or the list of records in the body; else it is the body."
    )
    primary_key: JsonPath | Annotated[list[JsonPath], Field(min_length=1)] | None = Field(
        default=None,
        description="What tells records apart: the JSONPath of a field, or of several; else the delivery's id does.",
    )

    @model_validator(mode="after")
    def _only_what_counts(self) -> Config:
        foreign = [name for name in _HMAC_ONLY if name in self.model_fields_set and self.verify != "hmac"]
        if foreign:
            raise ValueError(f"leave out {', '.join(foreign)}: verify is {self.verify}, not hmac")
        if self.verify == "standard" and self.id_header is not None:
            raise ValueError("leave out id_header: with Standard Webhooks it is webhook-id")
        return self


async def receive(delivery: Delivery[Config]) -> Received:
    """Return the records of a delivery that is genuine: an object is one record, each item of a list is one.

    `RefusedError` says what is wrong with a delivery: 401 if it proves nothing, 400 if it is not JSON, 422 if records
    or their keys are not where they should be. `PermanentError` if a path cannot be applied to the body, `ConfigError`
    if the connection holds no secret that can be used.
    """
    config = delivery.config
    delivery_id = _verified(delivery)
    if delivery_id is not None and len(delivery_id) > _ID_CAP:
        raise RefusedError(400, f"the delivery's id is longer than {_ID_CAP} characters")
    try:
        found = _selected(config, _parsed(delivery.body))
    except RecursionError:
        raise RefusedError(400, "the body is nested too deeply") from None
    items = found if isinstance(found, list) else [found]
    if config.primary_key is not None:
        fields = [config.primary_key] if isinstance(config.primary_key, str) else config.primary_key
        keys: Sequence[str | None] = [_key(fields, item, index) for index, item in enumerate(items)]
    elif delivery_id is not None and isinstance(found, list):
        keys = [f"{delivery_id}:{index}" for index in range(len(items))]
    else:
        keys = [delivery_id] * len(items)
    return Received([Record(key, item) for key, item in zip(keys, items, strict=True)], delivery_id)


def _verified(delivery: Delivery[Config]) -> str | None:
    """The id of a delivery that is genuine, if it has one."""
    config = delivery.config
    if config.verify == "standard":
        return _verified_standard(delivery)
    if config.verify == "hmac":
        _verify_hmac(delivery)
        return delivery.headers.get((config.id_header or "X-GitHub-Delivery").lower()) or None
    _verify_bearer(delivery)
    return delivery.headers.get((config.id_header or "Idempotency-Key").lower()) or None


def _verified_standard(delivery: Delivery[Config]) -> str:
    """Standard Webhooks 1.0.0, symmetric signatures; those of other versions are passed over.

    Not by its own Python library, which reads the clock itself, takes the body for text before it has verified it, and
    lets a malformed signature hide a good one beside it.
    """
    keys = keys_of(delivery.connection)
    message_id = _header(delivery, "webhook-id")
    timestamp = _header(delivery, "webhook-timestamp")
    given = _header(delivery, "webhook-signature").split()
    if not _SECONDS.fullmatch(timestamp):
        raise RefusedError(401, "webhook-timestamp is not in whole seconds since 1970")
    age_seconds = delivery.now.timestamp() - int(timestamp)
    if abs(age_seconds) > _TOLERANCE_SECONDS:
        way = "ago" if age_seconds > 0 else "ahead"
        raise RefusedError(401, f"webhook-timestamp is more than {_TOLERANCE_SECONDS // 60} minutes {way}")
    expected = [signature(key, _bytes(message_id), timestamp.encode(), delivery.body) for key in keys]
    if not _any_equal(expected, [_bytes(one) for one in given]):
        raise RefusedError(401, "no signature in webhook-signature fits the delivery")
    return message_id


def _verify_hmac(delivery: Delivery[Config]) -> None:
    config = delivery.config
    secrets = secrets_of(delivery.connection)
    given = _header(delivery, config.header)
    prefix = f"{config.algorithm}=" if config.prefix is None else config.prefix
    expected = []
    for secret in secrets:
        digest = hmac.digest(secret.encode(), delivery.body, config.algorithm)
        spelt = digest.hex() if config.encoding == "hex" else base64.b64encode(digest).decode()
        expected.append((prefix + spelt).encode())
    if config.encoding == "hex":
        given, expected = given.lower(), [one.lower() for one in expected]
    if not _any_equal(expected, [_bytes(given)]):
        raise RefusedError(401, f"the signature in {config.header} does not fit the delivery")


def _verify_bearer(delivery: Delivery[Config]) -> None:
    secrets = secrets_of(delivery.connection)
    scheme, _, token = _header(delivery, "Authorization").partition(" ")
    if scheme.lower() != "bearer":
        raise RefusedError(401, "header Authorization is not a Bearer token")
    # Of digests, so that not even the length of the secret shows in the time.
    expected = [hashlib.sha256(secret.encode()).digest() for secret in secrets]
    if not _any_equal(expected, [hashlib.sha256(_bytes(token.strip())).digest()]):
        raise RefusedError(401, "the token in Authorization is not the right one")


def _any_equal(expected: Sequence[bytes], given: Sequence[bytes]) -> bool:
    equal = [hmac.compare_digest(one, other) for one in expected for other in given]
    return any(equal)  # after all were compared: the time does not say which it was


def _header(delivery: Delivery[Config], name: str) -> str:
    value = delivery.headers.get(name.lower(), "").strip()
    if not value:
        raise RefusedError(401, f"header {name} is missing")
    return value


def _bytes(value: str) -> bytes:
    """A header as it was on the wire: servers read each byte as one character."""
    return value.encode("latin-1", "replace")


def _parsed(body: bytes) -> JsonValue:
    try:
        document: JsonValue = json.loads(body.decode(), parse_constant=_finite, parse_float=_finite)
    except UnicodeDecodeError:
        raise RefusedError(400, "the body is not in UTF-8") from None
    except ValueError as error:
        raise RefusedError(400, f"the body is not JSON: {error}") from None
    if not isinstance(document, (dict, list)):
        raise RefusedError(400, "the body is neither an object nor a list: send an object or a list")
    return document


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is no number that can be stored")
    return number


def _selected(config: Config, document: JsonValue) -> JsonValue:
    """What of the body is the record, or the list of them; several matches of the selector are a list."""
    if config.data_selector is None:
        return document
    found = path(config.data_selector).find(document)
    if not found or found == [None]:
        raise RefusedError(422, f"nothing is at {config.data_selector} in the body")
    records: JsonValue = found[0] if len(found) == 1 else found
    return records


def _key(fields: Sequence[str], item: JsonValue, index: int) -> str:
    """An item's key: a text as it is, anything else and several fields together as JSON."""
    values = [path(field).first(item) for field in fields]
    for field, value in zip(fields, values, strict=True):
        if value is None or value == "":
            raise RefusedError(422, f"item {index}, counted from 0, has no {field}, which is its primary key")
    key = values[0] if len(values) == 1 else values
    return key if isinstance(key, str) else to_json(key)
