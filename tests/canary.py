"""A secret that must not be seen anywhere, in every spelling; and everything in which it could be."""

from __future__ import annotations

import html
import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus

from psycopg import sql

from include.model import Connection
from include.store.db import DictConnection

# Characters that JSON, URLs, HTML and base64 each spell in a way of their own.
PASSWORD = "cAnArY\"7+/&<%>'~9 pAsS?wOrD"
TOKEN = "tOkEn-0f-A-cAnArY/8+"
KEY = "whsec_" + b64encode(b"a key that a canary signs with, of 43 bytes").decode()
SECOND_KEY = "whsec_" + b64encode(b"another one, while the key is being changed").decode()
LOGIN = "bird"
SECRETS = (PASSWORD, TOKEN, KEY, SECOND_KEY)


def spellings(secret: str) -> set[str]:
    """As it is, escaped, and in base64 at any place of a longer text."""
    plain = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), html.escape(secret)}
    plain |= {json.dumps(secret)[1:-1], repr(secret)[1:-1], secret.encode().hex()}
    for before in (b"", b"x", b"xx"):
        for encode in (b64encode, urlsafe_b64encode):
            # Without the letters at both ends, which depend on the neighbours.
            plain.add(encode(before + secret.encode()).decode().rstrip("=")[4 if before else 0 : -2])
    return plain


_SPELLINGS = sorted({spelling for secret in SECRETS for spelling in spellings(secret)})


def seen_in(value: Any) -> list[str]:
    """Every text in the value (JSON, at any depth) that has a secret in it."""
    return [text for text in _texts(value) if any(spelling in text for spelling in _SPELLINGS)]


def tables_with_secrets(db: DictConnection, *schemas: str) -> dict[str, list[str]]:
    """By table, what rows of all tables of these schemas show; all columns, as JSON."""
    found = {}
    tables = db.execute(
        "select n.nspname as schema, c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = any(%s) and c.relkind in ('r', 'm') order by 1, 2",
        (list(schemas),),
    ).fetchall()
    assert tables
    for table in tables:
        query = sql.SQL("select to_jsonb(t) as row from {} t").format(sql.Identifier(table["schema"], table["name"]))
        if texts := [text for row in db.execute(query) for text in seen_in(row["row"])]:
            found[table["name"]] = texts
    return found


def connections(server_url: str, smtp_port: int, postgres: Connection) -> dict[str, Connection]:
    """One of each sort, by name; all their secrets are canaries."""
    made = (
        Connection("hook", password=f"{KEY} {SECOND_KEY}", extra={"secrets": [KEY]}),
        Connection("chat", "slack", password=PASSWORD, extra={"base_url": f"{server_url}/ok/"}),
        Connection("chat_down", "slack", password=PASSWORD, extra={"base_url": f"{server_url}/bad/"}),
        Connection("room", "slackwebhook", password=f"{server_url}/ok/{quote(TOKEN)}"),
        Connection("room_down", "slackwebhook", password=f"{server_url}/bad/{quote(TOKEN)}"),
        Connection("mail", "smtp", "127.0.0.1", smtp_port, None, LOGIN, PASSWORD, _MAIL),
        Connection("mail_refused", "smtp", "127.0.0.1", smtp_port, None, LOGIN, TOKEN, _MAIL),
        Connection("shop", "postgres", postgres.host, postgres.port, postgres.schema, LOGIN, PASSWORD, {}),
        Connection("shop_gone", "postgres", postgres.host, 9, postgres.schema, LOGIN, PASSWORD, {}),
        Connection("mine", "generic", login=LOGIN, password=PASSWORD, extra={"nested": [{"token": TOKEN}]}),
        Connection("api", "http", password=PASSWORD, extra={"token": TOKEN}),
        Connection("basic", "http", login=LOGIN, password=PASSWORD),
    )
    return {connection.id: connection for connection in made}


_MAIL = {"disable_ssl": True, "disable_tls": True, "from_email": "bird@example.com"}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        if value.startswith("\\x"):  # bytes, as PostgreSQL shows them
            yield bytes.fromhex(value[2:]).decode("utf-8", "replace")
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)
