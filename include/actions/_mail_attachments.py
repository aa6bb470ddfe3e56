"""What is attached to a mail: fetched by GET, bounded in size, and given a name that is a file's name and no more."""

from __future__ import annotations

import mimetypes
import re
import time
import unicodedata
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Annotated
from urllib.parse import unquote

from pydantic import AfterValidator, Field
from yarl import URL

from include import model
from include.actions._fields import Url
from include.actions._mail_address import one_line
from include.actions._mail_message import Attachment
from include.actions._verdict import judge
from include.errors import PermanentError, RetryableError
from include.model import Http, Reply

MOST_BYTES = 10 * 1024 * 1024
MOST_BYTES_IN_ALL = 20 * 1024 * 1024

_LONGEST_FILENAME = 150
_LONGEST_SUFFIX = 20
_UNKNOWN_TYPE = "application/octet-stream"
_TYPE = re.compile(r"([A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126})/([A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126})")  # RFC 6838 4.2

# RFC 6266 4: the form with an asterisk (RFC 8187) is the better one where there are both.
_EXTENDED = re.compile(r"\bfilename\*\s*=\s*(utf-8|iso-8859-1)'[^']*'([^\s;]+)", re.IGNORECASE)
_ORDINARY = re.compile(r'\bfilename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;]+))', re.IGNORECASE)


def _check_type(value: str) -> str:
    if not _TYPE.fullmatch(value):
        raise ValueError("write a type such as application/pdf, without parameters")
    return value.lower()


class Wanted(model.Config):
    """A file to attach, as a row names it."""

    url: Url = Field(description="Where to fetch the file.")
    filename: Annotated[str, Field(min_length=1, max_length=255), AfterValidator(one_line)] | None = Field(
        default=None, description="The file's name; if not given, the one that its server or its URL gives it."
    )
    content_type: Annotated[str, AfterValidator(_check_type)] | None = Field(
        default=None, description="The file's type; if not given, the one that its server says it has."
    )


async def fetched(wanted: Sequence[Wanted], http: Http, seconds: float) -> list[Attachment]:
    """Fetch every file, within so many seconds in all; `RetryableError` or `PermanentError` says which failed."""
    deadline = time.monotonic() + seconds
    left = MOST_BYTES_IN_ALL
    attachments: list[Attachment] = []
    for number, each in enumerate(wanted, 1):
        reply = await _fetched(each, number, http, deadline - time.monotonic(), min(left, MOST_BYTES))
        left -= len(reply.body)
        attachments.append(_attachment(each, number, reply))
    return attachments


async def _fetched(wanted: Wanted, number: int, http: Http, seconds: float, cap: int) -> Reply:
    """Fetch one. Errors have no status: what a file's server says is not said of the row."""
    try:
        reply = await http.request("GET", wanted.url, timeout_seconds=seconds, body_cap=cap)
        judge(reply, "GET", datetime.now(timezone.utc))
    except RetryableError as error:
        raise RetryableError(f"attachment {number}: {error}", after_seconds=error.after_seconds) from None
    except PermanentError as error:
        raise PermanentError(f"attachment {number}: {error}") from None
    if reply.truncated:
        raise PermanentError(
            f"attachment {number}: larger than {MOST_BYTES >> 20} MiB, or all of them than"
            f" {MOST_BYTES_IN_ALL >> 20} MiB; send a link to it in the text"
        )
    return reply


def _attachment(wanted: Wanted, number: int, reply: Reply) -> Attachment:
    said = reply.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    content_type = wanted.content_type or (said if _TYPE.fullmatch(said) else _UNKNOWN_TYPE)
    named = wanted.filename or filename_of(reply.headers.get("Content-Disposition", "")) or URL(wanted.url).name
    filename = sanitised(named) or f"attachment-{number}{mimetypes.guess_extension(content_type) or ''}"
    if content_type.startswith(("message/", "multipart/")):  # which may not be in base64 (RFC 2046 5.2.1)
        content_type = _UNKNOWN_TYPE
    return Attachment(filename, content_type, reply.body)


def filename_of(disposition: str) -> str:
    """The file's name in a `Content-Disposition` header, or nothing."""
    if extended := _EXTENDED.search(disposition):
        return unquote(extended[2], extended[1], "replace")
    if ordinary := _ORDINARY.search(disposition):
        return re.sub(r"\\(.)", r"\1", ordinary[1]) if ordinary[1] is not None else ordinary[2]
    return ""


def sanitised(name: str) -> str:
    """The name without folders, without what cannot be seen (a mark that turns the direction of writing would let
    `exe.pdf` look like `fdp.exe`), and not too long; nothing, if nothing is left.
    """
    last = re.split(r"[/\\]", name)[-1]
    seen = "".join(letter for letter in last if unicodedata.category(letter)[0] != "C" and letter not in "\u2028\u2029")
    tidy = re.sub(r'[<>:"|?*]', "_", seen).strip(". ")
    stem, dot, suffix = tidy.rpartition(".")
    if len(tidy) <= _LONGEST_FILENAME or not stem or len(suffix) > _LONGEST_SUFFIX:
        return tidy[:_LONGEST_FILENAME]
    return stem[: _LONGEST_FILENAME - len(suffix) - 1] + dot + suffix
