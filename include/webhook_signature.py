"""Signatures of Standard Webhooks 1.0.0, the symmetric ones, for whoever sends and whoever receives.

Secrets are in an Airflow connection: its password, and while a secret is being changed further ones.
"""

from __future__ import annotations

import base64
import binascii
import hmac

from include.errors import ConfigError
from include.model import Connection


def signature(key: bytes, message_id: bytes, timestamp: bytes, body: bytes) -> bytes:
    """What one key makes of a message: `v1,` and base64 of an HMAC-SHA256. Everything is as it is on the wire."""
    signed = b".".join((message_id, timestamp, body))
    return b"v1," + base64.b64encode(hmac.digest(key, signed, "sha256"))


def keys_of(connection: Connection | None) -> list[bytes]:
    """A key for every secret that counts at present, of which there is at least one; else `ConfigError`."""
    return [_key(secret, connection) for secret in secrets_of(connection, several=True)]


def secrets_of(connection: Connection | None, *, several: bool = False) -> list[str]:
    """Every secret that counts at present: the password and those listed as `secrets` in the extra.

    With `several`, blanks separate those in the password. `ConfigError` says what to write if there is none.
    """
    if connection is None:
        raise ConfigError("the secret of a webhook is in an Airflow connection: name it as conn_id")
    password = connection.password or ""
    further = connection.extra.get("secrets", [])
    if not isinstance(further, list) or not all(isinstance(secret, str) for secret in further):
        raise ConfigError(f"connection {connection.id!r}: write extra.secrets as a list of texts")
    secrets = [secret.strip() for secret in [*(password.split() if several else [password]), *further]]
    if not any(secrets):
        raise ConfigError(f"connection {connection.id!r} has no secret: write it as its password")
    return [secret for secret in secrets if secret]


def _key(secret: str, connection: Connection | None) -> bytes:
    """The bytes that a secret spells: `whsec_` and base64, padded or not."""
    text = secret.removeprefix("whsec_").rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        name = connection.id if connection else None
        raise ConfigError(
            f"connection {name!r}: a secret of Standard Webhooks is whsec_ and base64; write such a one as its password"
        )
    return key
