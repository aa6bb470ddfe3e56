"""What the constraints of the config tables ask for, in words: for people who write rows."""

from __future__ import annotations

import re

_OF_COLUMN = re.compile("(job|connector|workflow|timer|budget)_([a-z_]+)_check")

_BY_NAME = {
    "at_most_one_schedule": "write one of cron, every and run_at, or none of them",
    "a_delay_needs_every": "every_mode: fixed_delay needs every",
    "starts_before_it_ends": "starts_at: write an instant before ends_at",
    "instants_between_1970_and_9000": "write instants between the years 1970 and 9000",
    "notify_makes_sense": "notify: write an object with kind and payload, and with on and after if need be",
    "timer_timeout_check": "timeout: write more than 0s, and at most 1h",
    "connector_timeout_check": "timeout: write more than 0s, and at most 1h",
}
_INSTANT = "write an instant between the years 1970 and 9000"
_OBJECT = "write a JSON object"
_UP_TO_A_DAY = "write at least 0s, and at most 1d"
_UP_TO_200 = "write 1 to 200 characters"
_BY_COLUMN = {
    "alert_after": "write 1 to 1000",
    "batch_size": "write 1 to 1000",
    "body": "write a JSON object, a list or a text",
    "conn_id": "write 1 to 250 characters",
    "config": _OBJECT,
    "cron": "write at most 200 characters",
    "dedupe": "write key or content",
    "delivery": "write at_least_once or at_most_once",
    "disable_after": "write 1 to 1000000",
    "due_at": _INSTANT,
    "ends_at": _INSTANT,
    "every": "write at least 1s, and at most 366d, in days or less",
    "every_mode": "write fixed_rate or fixed_delay",
    "external_id": _UP_TO_200,
    "headers": _OBJECT,
    "hours": "write 0 or more",
    "jitter": _UP_TO_A_DAY,
    "kind": "write a kind's name, of lower-case letters, digits and _",
    "max_lateness": "write 0s or more",
    "method": "write GET, POST, PUT, PATCH or DELETE",
    "minutes": "write 0 or more",
    "misfire": "write skip, latest or all",
    "name": f"{_UP_TO_200}, without blanks around them",
    "no_retry_on": "write HTTP statuses, from 100 to 599",
    "notify": _OBJECT,
    "on_error": "write quarantine, stop or skip",
    "overlap": "write skip, queue or allow",
    "owner": _UP_TO_200,
    "paused_until": _INSTANT,
    "payload": _OBJECT,
    "probe_every": "write at least 1s, and at most 30d",
    "rate_limit": "write such as 10/second, 600/minute, 5000/hour or 10000/day",
    "retries": "write 0 to 100",
    "retry_backoff": "write 1 to 10",
    "retry_delay": _UP_TO_A_DAY,
    "retry_jitter": "write 0 to 1, the share by which a wait may be longer",
    "retry_max_delay": _UP_TO_A_DAY,
    "run_at": _INSTANT,
    "seconds": "write 0 or more",
    "started_at": _INSTANT,
    "starts_at": _INSTANT,
    "timeout": "write more than 0s, and at most 1d",
    "url": "write a URL with http or https, of at most 2048 characters",
}


def in_words(constraint: str) -> str | None:
    """Which setting breaks the constraint, and what to write instead; None: of this one nothing is known."""
    of_column = _OF_COLUMN.fullmatch(constraint)
    if constraint in _BY_NAME or of_column is None:
        return _BY_NAME.get(constraint)
    wanted = _BY_COLUMN.get(of_column[2])
    return None if wanted is None else f"{of_column[2]}: {wanted}"
