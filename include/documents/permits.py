"""What a caller who is no admin may put into a row: connections that are listed for him, and no more than his quota."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from itertools import islice, pairwise
from typing import Any

from include import registry
from include.documents.caller import Caller
from include.errors import ConfigError, RefusedError
from include.registry import Action, SourceKind
from include.schedule import Schedule
from include.store import access, idempotency
from include.store.db import DictConnection

_SAMPLE = 100
_MOST_KEPT = 32 * 2**20


def check_connections(db: DictConnection, caller: Caller, owner: str, named: frozenset[str]) -> None:
    """`RefusedError` (403) if one of the connections is not listed for the owner."""
    if caller.is_admin or not named:
        return
    if missing := named - access.granted(db, owner):
        names = ", ".join(sorted(missing))
        raise RefusedError(403, f"conn_id: {names} is not among the connections that an admin has listed for {owner!r}")


def check_notify(
    db: DictConnection, caller: Caller, owner: str, notify: Mapping[str, Any], before: Mapping[str, Any] | None
) -> None:
    """`RefusedError` (403) if the caller may not have the owner told so, where rows do not say it themselves.

    The connections that are named `before` may stay.
    """
    check_notify_kind(caller, notify)
    check_connections(db, caller, owner, frozenset(_of_notify(notify)) - frozenset(_of_notify(before)))


def check_notify_kind(caller: Caller, notify: Mapping[str, Any] | None) -> None:
    """`RefusedError` (403) if it is of a kind that only admins may have; None tells nobody."""
    kind = (notify or {}).get("kind")
    if isinstance(kind, str):
        caller.check_kind(kind)


def check_quota(db: DictConnection, caller: Caller, owner: str) -> None:
    """`RefusedError` (403) if the owner has more than his quota, with what has just been written.

    Call it after the write, in its transaction, and after `access.lock_owner`.
    """
    if caller.is_admin:
        return
    quota = access.quota(db, owner)
    holdings = access.holdings(db, owner)
    _check_most("rows", holdings.rows, quota.max_rows)
    _check_most("bytes of settings", holdings.bytes, quota.max_bytes)
    if quota.max_fires_per_minute is None and quota.min_interval is None:
        return
    fires = 0.0
    for row in access.schedules(db, owner):
        shortest, mean = _intervals(row["cron"], row["every"], row["timezone"])
        if quota.min_interval is not None and shortest < quota.min_interval:
            least = quota.min_interval.total_seconds()
            raise RefusedError(403, f"quota: {least:g} s is the least time between two occurrences")
        fires += row["rows"] * (60.0 / mean.total_seconds())
    _check_most("fires per minute", fires, quota.max_fires_per_minute)


def check_keys(db: DictConnection, caller: Caller) -> None:
    """`RefusedError` (403) if so much is kept already for the caller's Idempotency-Keys that he may use no new one."""
    if not caller.is_admin and idempotency.kept(db, caller.name) > _MOST_KEPT:
        raise RefusedError(
            403,
            f"quota: the answers to your Idempotency-Keys are kept for a day, {_MOST_KEPT // 2**20} MiB at the most; "
            "send it later, or without one: an external_id keeps a row from being added twice as well",
        )


def connections_of_action(kind: str, payload: Mapping[str, Any], notify: Mapping[str, Any] | None) -> frozenset[str]:
    """The connections that a job or a workflow, or its notify, would use; of an unknown kind, none."""
    return frozenset((*_named(registry.action, kind, payload), *_of_notify(notify)))


def connections_of_source(kind: str, config: Mapping[str, Any], notify: Mapping[str, Any] | None) -> frozenset[str]:
    """The connections that a connector, or its notify, would use; of an unknown kind, none."""
    return frozenset((*_named(registry.source, kind, config), *_of_notify(notify)))


def _of_notify(notify: Mapping[str, Any] | None) -> Iterator[str]:
    kind, payload = (notify or {}).get("kind"), (notify or {}).get("payload", {})
    if isinstance(kind, str) and isinstance(payload, dict):
        yield from _named(registry.action, kind, payload)


def _named(find: Callable[[str], Action | SourceKind], kind: str, written: Mapping[str, Any]) -> Iterator[str]:
    """What is written as conn_id, or else what the kind has by itself."""
    try:
        field = find(kind).config.model_fields.get("conn_id")
    except ConfigError:
        return
    if field is None:
        return
    conn_id = written.get("conn_id", None if field.is_required() else field.default)
    if isinstance(conn_id, str):
        yield conn_id


def _check_most(what: str, have: float, most: float | None) -> None:
    if most is not None and have > most:
        raise RefusedError(
            403, f"quota: {most:g} {what} are the most; with this it would be {have:g}; delete some, or ask an admin"
        )


@lru_cache(maxsize=10_000)
def _intervals(cron: str | None, every: timedelta | None, zone: str) -> tuple[timedelta, timedelta]:
    """The least and the mean time between two occurrences; of a cron expression, among the next hundred."""
    if every is not None:
        return every, every
    schedule = Schedule(anchor=datetime(2026, 1, 1, tzinfo=timezone.utc), salt=0, cron=cron, timezone=zone)
    fires = list(islice(_fires(schedule), _SAMPLE))
    if len(fires) < 2:
        return timedelta.max, timedelta.max
    gaps = [later - earlier for earlier, later in pairwise(fires)]
    return min(gaps), (fires[-1] - fires[0]) / (len(fires) - 1)


def _fires(schedule: Schedule) -> Iterator[datetime]:
    try:
        instant = schedule.next_after(schedule.anchor)
        while instant is not None:
            yield instant
            instant = schedule.next_after(instant)
    except ConfigError:  # a row that plain SQL made, and that cannot run, fires never
        return
