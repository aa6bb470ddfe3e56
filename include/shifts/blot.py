"""Blot secrets out of what people are shown, in every spelling in which a server may have sent them back."""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from include.model import Connection

BLOT = "***"

_SHORT = 3  # letters: what is no longer is a secret only where it stands by itself
_LONG_NUMBER = 100_000
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_SECRET_WORDS = frozenset(
    {"apikey", "auth", "authorization", "cookie", "credential", "credentials", "jwt", "passwd", "password", "pwd"}
    | {"secret", "session", "sig", "signature"}
)
_PAGING_WORDS = frozenset(
    {"continuation", "cursor", "next", "page", "paging", "pagination", "partition", "prev", "sort", "start", "sync"}
)


class Blot:
    """Replaces secrets by `***`: as they are, and escaped for a URL, for JSON or for HTML, or in base64."""

    def __init__(self, secrets: Iterable[str]) -> None:
        spelt = {s for secret in secrets if secret.strip() for s in (secret.strip(), *_in_base64(secret))}
        longest_first = sorted(spelt, key=len, reverse=True)  # or a part of it could spoil the whole
        self._secrets = re.compile("|".join(map(_pattern, longest_first))) if longest_first else None

    def text(self, text: str) -> str:
        """The text without secrets."""
        return text if self._secrets is None else self._secrets.sub(BLOT, text)

    def json(self, value: Any) -> Any:
        """The value without secrets, keys included; a number that holds one becomes a text."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(key): self.json(inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.json(inner) for inner in value]
        if value is None or isinstance(value, bool):
            return value
        spelt = json.dumps(value)
        blotted = self.text(spelt)
        return value if blotted == spelt else blotted


def secrets_of(connection: Connection | None) -> Iterator[str]:
    """What of a connection is secret: its password and every text in its extra, at any depth; long numbers as well.

    The login is one where it is sent with the password as one text.
    """
    if connection is None:
        return
    if connection.password:
        yield connection.password
        yield from _in_base64(f"{connection.login or ''}:{connection.password}")
    yield from _texts(connection.extra)


def secrets_in_request(url: str, headers: Mapping[str, str]) -> Iterator[str]:
    """What a request's headers and query say that is secret by its name, wherever it came from.

    Of HTTP's basic authentication, login and password (RFC 7617).
    """
    for name, value in parse_qsl(urlsplit(url).query):
        if _names_secret(name):
            yield value
    for name, value in headers.items():
        if not _names_secret(name):
            continue
        scheme, _, credentials = value.partition(" ")
        yield from (value, credentials.strip())
        if scheme.lower() == "basic":
            with suppress(binascii.Error, UnicodeDecodeError):
                yield from base64.b64decode(credentials).decode().split(":", 1)


def _names_secret(name: str) -> bool:
    """Whether what bears this name is a secret: `X-Api-Key`, `access_token` and `password`, but not `nextPageToken`."""
    words = [word.lower() for word in _WORD.findall(name)]
    if _SECRET_WORDS.intersection(words):
        return True
    return bool(words) and words[-1] in ("key", "token") and not _PAGING_WORDS.intersection(words)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, int) and abs(value) >= _LONG_NUMBER:
        yield str(value)


def _in_base64(secret: str) -> Iterator[str]:
    """Both alphabets of RFC 4648, without padding."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(secret.encode("utf-8", "replace")).decode().rstrip("=")


def _pattern(secret: str) -> str:
    spelt = "".join(map(_character, secret))
    return rf"(?<!\w){spelt}(?!\w)" if len(secret) <= _SHORT else spelt


def _character(character: str) -> str:
    """A character as it is or escaped: by percent (RFC 3986), as forms do it, by backslash (JSON), by entity (HTML)."""
    if character.isascii() and character.isalnum():
        return character
    in_json = json.dumps(character)[1:-1]
    spellings = {character, html.escape(character), f"&#{ord(character)};", in_json, "\\" + character}
    spellings |= {"".join(f"%{byte:02X}" for byte in character.encode("utf-8", "replace")), f"\\u{ord(character):04x}"}
    spellings |= {"+"} if character == " " else set()
    by_length = sorted(spellings, key=len, reverse=True)
    return f"(?i:{'|'.join(map(re.escape, by_length))})"
