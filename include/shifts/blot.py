"""Blot secrets out of what people are shown, in every spelling in which a server may have sent them back."""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from include.model import Connection

BLOT = "***"

_LEAST = 4  # letters: what is shorter is no secret to anybody who tries, and turns up everywhere by chance
_SHORT = 7  # letters: what is no longer is a secret only where it stands by itself
_LONG_NUMBER = 100_000
# A word begins after what is no letter, and after one that is escaped (`%20`, `\n`, `\u00e9`).
_BEGINS = r"(?:(?<!\w)|(?<=%\w\w)|(?<=\\\w)|(?<=\\u\w{4}))"
# More than words, numbers, hosts and dates: letters with digits among them, or very many.
_LIKE_A_SECRET = re.compile(r"(?=[0-9]*[A-Za-z])(?=[A-Za-z]*[0-9])[A-Za-z0-9]{8,}|[A-Za-z0-9]{24,}")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_SECRET_WORDS = frozenset(
    {"accesstoken", "auth", "authorization", "authtoken", "cookie", "credential", "credentials", "jwt", "pass"}
    | {"passphrase", "pwd", "session", "sessionid", "sig", "signature"}
)
_SECRET_ENDS = ("apikey", "passwd", "password", "passwords", "secret", "secrets")
_PAGING_WORDS = frozenset(
    {"continuation", "cursor", "next", "page", "paging", "pagination", "partition", "prev", "sort", "start", "sync"}
)

_MOST_KNOWN = 256
# By identity, for a connection is looked up every half a minute only, and its secrets take a while to collect.
_of_connections: dict[int, tuple[Connection | None, Blot]] = {}


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
        if self._secrets is None:
            return value
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


def blot_of(connection: Connection | None) -> Blot:
    """A blot for the secrets of a connection; made once for all attempts that have the same."""
    known = _of_connections.get(id(connection))
    if known is not None and known[0] is connection:
        return known[1]
    blot = _made(tuple(secrets_of(connection)))
    if len(_of_connections) >= _MOST_KNOWN:
        _of_connections.clear()
    _of_connections[id(connection)] = (connection, blot)
    return blot


@lru_cache(maxsize=_MOST_KNOWN)
def _made(secrets: tuple[str, ...]) -> Blot:
    return Blot(secrets)


def secrets_of(connection: Connection | None) -> Iterator[str]:
    """What of a connection is secret: its password, and in its extra, at any depth, what a name or its looks say is.

    All else there is settings, such as a region or a number of seconds, which people are to read in what comes back; so
    is a password of less than four characters. The login is secret where it is sent with the password as one text. Keys
    that sign may be several in one password; of a URL as a password, the path is what is secret.
    """
    if connection is None:
        return
    if connection.password:
        if len(connection.password) >= _LEAST:
            yield connection.password
        yield from (key for key in connection.password.split() if key.startswith("whsec_"))
        if "://" in connection.password:
            yield from _in_path(connection.password)
        yield from _in_base64(f"{connection.login or ''}:{connection.password}")
    yield from _secrets_in(connection.extra, is_named=False)


def secrets_in_request(url: str, headers: Mapping[str, str]) -> Iterator[str]:
    """What a request's headers and query say that is secret by its name, wherever it came from.

    Of HTTP's basic authentication, login and password (RFC 7617).
    """
    for name, value in parse_qsl(urlsplit(url).query):
        if names_secret(name):
            yield value
    for name, value in headers.items():
        if not names_secret(name):
            continue
        scheme, _, credentials = value.partition(" ")
        yield from (value, credentials.strip())
        if scheme.lower() == "basic":
            with suppress(binascii.Error, UnicodeDecodeError):
                yield from base64.b64decode(credentials).decode().split(":", 1)


@lru_cache(maxsize=1024)
def names_secret(name: str) -> bool:
    """Whether what bears this name is a secret: `X-Api-Key`, `access_token` and `password`, but not `nextPageToken`."""
    words = [word.lower() for word in _WORD.findall(name)]
    if _SECRET_WORDS.intersection(words) or any(word.endswith(_SECRET_ENDS) for word in words):
        return True
    return bool(words) and words[-1] in ("key", "token") and not _PAGING_WORDS.intersection(words)


def runs_like_a_secret(text: str) -> bool:
    """Whether letters and digits in it run on as they do in tokens and keys, and not in words, numbers and dates."""
    return _LIKE_A_SECRET.search(text) is not None


def _secrets_in(value: Any, *, is_named: bool) -> Iterator[str]:
    if isinstance(value, str):
        if len(value) >= _LEAST and (is_named or runs_like_a_secret(value) or _holds_login(value)):
            yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _secrets_in(inner, is_named=is_named or names_secret(str(name)))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _secrets_in(inner, is_named=is_named)
    elif isinstance(value, int) and is_named and abs(value) >= _LONG_NUMBER:
        yield str(value)


def _holds_login(text: str) -> bool:
    """Whether it is a URL with a user, as those of proxies and databases are."""
    return "@" in text.partition("://")[2]


def _in_path(url: str) -> Iterator[str]:
    """The path of a URL, as it is and as it is read, and the last part of it."""
    _, _, path = url.partition("://")[2].partition("/")
    for spelt in (path, unquote(path)):
        if len(spelt) >= _LEAST:
            yield spelt
            yield spelt.rpartition("/")[2] or spelt


def _in_base64(secret: str) -> Iterator[str]:
    """Both alphabets of RFC 4648, without padding."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(secret.encode("utf-8", "replace")).decode().rstrip("=")


def _pattern(secret: str) -> str:
    spelt = "".join(map(_character, secret))
    return rf"{_BEGINS}{spelt}(?!\w)" if len(secret) <= _SHORT else spelt


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
