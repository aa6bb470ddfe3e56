"""How long a server wants to be left alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

LONGEST_WAIT_SECONDS = 86_400.0

# X-RateLimit is GitHub's and most others' spelling, X-Rate-Limit Okta's, RateLimit that of the IETF's drafts 0 to 7.
_SPELLINGS = ("X-RateLimit", "X-Rate-Limit", "RateLimit")
_EPOCH = 1_000_000_000  # a reset of this and more is a time and not a wait; a thousand times that, in milliseconds


def wait_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """The wait that the headers ask for, at most a day; None where they ask for none."""
    wait = retry_after(headers.get("Retry-After"), now)
    return _reset(headers, now) if wait is None else wait


def spent(headers: Mapping[str, str]) -> bool:
    """Whether the headers say that the next request would be one too many."""
    return any(headers.get(f"{spelling}-Remaining", "").strip() == "0" for spelling in _SPELLINGS)


def retry_after(value: str | None, now: datetime) -> float | None:
    """The wait that a `Retry-After` header asks for, in seconds or as a date (RFC 9110 10.2.3), at most a day.

    None where it asks for none, or for one in the past, or cannot be understood.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_WAIT_SECONDS)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=timezone.utc)  # every HTTP-date is in GMT, the form without a zone included
    return _capped((date - now).total_seconds())


def _reset(headers: Mapping[str, str], now: datetime) -> float | None:
    for spelling in _SPELLINGS:
        try:
            reset = float(headers.get(f"{spelling}-Reset", ""))
        except ValueError:
            continue
        if reset >= _EPOCH * 1000:
            reset /= 1000
        return _capped(reset - now.timestamp() if reset >= _EPOCH else reset)
    return None


def _capped(seconds: float) -> float | None:
    return min(seconds, LONGEST_WAIT_SECONDS) if seconds > 0 and not math.isnan(seconds) else None
