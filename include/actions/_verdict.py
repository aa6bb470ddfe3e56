"""What a reply means for the attempt: done, try again, or give up. The same for every kind that speaks HTTP."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import urlsplit

from include.errors import PermanentError, RetryableError
from include.model import Output, Reply

EXCERPT_CHARACTERS = 2_000
LONGEST_WAIT_SECONDS = 3_600.0

# Statuses that are no server error and all the same say "not now" (RFC 9110 15.5.9, RFC 8470 5.2, RFC 6585 4).
_NOT_NOW = frozenset({408, 425, 429})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def judge(reply: Reply, method: str, now: datetime, expected: Collection[int] | None = None) -> Output:
    """Return the output of a success; raise `RetryableError` or `PermanentError`, status and excerpt in it, otherwise.

    Success is any 2xx, or exactly the statuses in `expected` where it is given.
    """
    status = reply.status
    line = f"{method} {_host(reply.url)} {status}"
    if status in expected if expected is not None else 200 <= status < 300:
        return Output(line=line, code=status, excerpt=excerpt(reply))
    if expected is not None:
        line = f"{line}: expected {' or '.join(str(wanted) for wanted in expected)}"
    if status in _REDIRECTS:
        line = f"{line}: the redirect is not followed; write the URL that it leads to"
    if status >= 500 or status in _NOT_NOW:
        wait = retry_after(reply.headers.get("Retry-After"), now)
        raise RetryableError(line, code=status, excerpt=excerpt(reply), after_seconds=wait)
    raise PermanentError(line, code=status, excerpt=excerpt(reply))


def excerpt(reply: Reply) -> str:
    """As much of the body as the ledger keeps."""
    return reply.text()[:EXCERPT_CHARACTERS]


def retry_after(value: str | None, now: datetime) -> float | None:
    """The wait that a `Retry-After` header asks for, in seconds or as a date (RFC 9110 10.2.3), at most an hour.

    None where it asks for none, or for one in the past, or cannot be understood.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        digits = text.lstrip("0") or "0"
        # A header may hold thousands of digits, more than Python converts; five are over the limit already.
        return min(float(digits), LONGEST_WAIT_SECONDS) if len(digits) < 5 else LONGEST_WAIT_SECONDS
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=timezone.utc)  # every HTTP-date is in GMT, the form without a zone included
    wait = (date - now).total_seconds()
    return min(wait, LONGEST_WAIT_SECONDS) if wait > 0 else None


@lru_cache(maxsize=4096)
def _host(url: str) -> str:
    """Host and port; the rest of the URL may hold a secret."""
    return urlsplit(url).netloc.rpartition("@")[2]
