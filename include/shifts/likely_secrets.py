"""Blot out of a text what looks like a secret, whoever wrote it: in URLs, headers, settings, options of commands."""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_plus, urlsplit

from include.shifts.blot import BLOT, names_secret, runs_like_a_secret

# Every pattern takes time in proportion to the text: where a name begins, it cannot begin again within itself.

# Nothing of it can be a secret: nearly all are such.
_PLAIN_URL = re.compile(r"https?://[\w.:\[\]-]+(?:/[^\s/?#@'\"<>]{0,19})*", re.ASCII)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s'\"<>]+")
# `"token": "x"`, `\"token\": \"x\"`, `API_KEY=x`, `Authorization: Bearer x`
_SETTING = re.compile(r"""(?<![\w-])([\w-]+)\\*["']?\s*[:=]\s*(?i:(?:apikey|basic|bearer|bot|digest|token)\s+)?""")
# `--password x`, and of SQL: `password 'x'`
_OPTION = re.compile(r"(?<![\w-])(--?[A-Za-z][\w-]*(?=\s+[^\s-])|[A-Za-z_]\w*(?=\s+'))\s+")
# A quote that is not closed lasts to the end.
_VALUE = re.compile(r"""\\+"[^"]*"?|\\+'[^']*'?|"(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?|[^\s,;&|"')\]}]+""", re.DOTALL)
_HEADERS = {quote: re.compile(f"[^{quote}]+") for quote in ('"', "'")}
# `curl -u ann:x`
_LOGIN = re.compile(r"""(?<!\S)(-u|--user)([=\s]?\s*)((?:"[^"]*"?|'[^']*'?|[^\s"'])+)""")

_LONG = 20
_NESTED = 3  # URLs within queries of URLs; deeper than this, anything is a secret


def without_likely_secrets(text: str) -> str:
    """The text, where `***` stands for what a name says is secret, and for what in a URL looks like a token.

    Of a URL neither user nor password are left, nor what comes after #.
    """
    return _without(text, _NESTED)


def looks_secret(piece: str) -> bool:
    """Whether a part of a URL is long, and more than words and numbers: a token, a key, a UUID."""
    return len(piece) >= _LONG and runs_like_a_secret(piece)


def _without(text: str, nested: int) -> str:
    if _PLAIN_URL.fullmatch(text):
        return text
    if _URL.fullmatch(text):
        return _url(text, nested)
    if "://" in text:
        text = _URL.sub(lambda found: _url(found[0], nested), text)
    text = _without_named(_SETTING, text)
    if " " in text:
        text = _LOGIN.sub(lambda found: found[0] if ":" not in found[3] else f"{found[1]}{found[2]}{BLOT}", text)
        text = _without_named(_OPTION, text)
    return text


def _without_named(name: re.Pattern[str], text: str) -> str:
    """The text without the values of secret names; what stands in the values of others is looked at as well."""
    kept: list[str] = []
    end = 0
    for found in name.finditer(text):
        if found.start() < end or not names_secret(found[1]):
            continue
        value = _value(text, found)
        if value is not None:
            kept += (text[end : found.end()], BLOT)
            end = value.end()
    return "".join((*kept, text[end:])) if kept else text


def _value(text: str, name: re.Match[str]) -> re.Match[str] | None:
    """What belongs to a name: a word, or all in quotes; of a header in quotes (`'Cookie: a=b; c=d'`), the rest."""
    quote = text[name.start() - 1 : name.start()]
    if quote in _HEADERS and text[name.end(1)] == ":":
        return _HEADERS[quote].match(text, name.end())
    return _VALUE.match(text, name.end())


def _url(url: str, nested: int) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"{url.partition('://')[0]}://{BLOT}"
    user, at, host = parts.netloc.rpartition("@")
    path = "/".join(BLOT if looks_secret(unquote(piece)) else piece for piece in parts.path.split("/"))
    query = "?" + "&".join([_pair(pair, nested) for pair in parts.query.split("&")]) if parts.query else ""
    return f"{parts.scheme}://{BLOT + at if user else ''}{host}{path}{query}"


def _pair(pair: str, nested: int) -> str:
    name, is_, value = pair.partition("=")
    said = unquote_plus(name)
    if looks_secret(said):
        return BLOT
    return f"{name}={BLOT}" if is_ and (names_secret(said) or _holds_secret(unquote_plus(value), nested)) else pair


def _holds_secret(value: str, nested: int) -> bool:
    if looks_secret(value):
        return True
    return not (not value or value.isalnum()) and (nested == 0 or _without(value, nested - 1) != value)
