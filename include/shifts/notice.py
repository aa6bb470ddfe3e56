"""Tell somebody that a connector has begun to fail, or has recovered: by any action, with a templated payload."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Literal

from include import registry
from include.errors import MillraceError, RetryableError
from include.model import Connector
from include.shifts.bell import utcnow
from include.shifts.notices import wording
from include.shifts.perform import Doing, LeaseLost, perform
from include.shifts.post import Post

log = logging.getLogger(__name__)

_ATTEMPTS = 3
_PAUSE_SECONDS = 2.0
_TIMEOUT = timedelta(seconds=15)

Event = Literal["failing", "recovered"]


async def tell(post: Post, connector: Connector, event: Event, error: str | None) -> None:
    """Call the row's `notify`, if it has one. That it could not be reached is logged, and nothing else."""
    if connector.notify is None:
        return
    now = utcnow()
    try:
        doing = Doing(
            connector.notify["kind"],
            _payload(connector, event, error),
            f"connector_{connector.id}_{event}_{int(now.timestamp())}",
            now,
            _TIMEOUT,
        )
        await _insistently(post, doing)
    except (MillraceError, LeaseLost) as failure:
        log.warning("nobody could be told that the connector is %s: %s", event, failure)


def _payload(connector: Connector, event: Event, error: str | None) -> dict[str, object]:
    notify = connector.notify or {}
    payload = dict(notify.get("payload", {}))
    field = registry.action(notify["kind"]).record_field
    if field is not None and field not in payload:
        payload[field] = {
            "type": f"connector.{event}",
            "timestamp": utcnow().isoformat(),
            "data": {"connector": "{{ connector.name }}", "error": "{{ error }}"},
        }
    names = {"id": connector.id, "name": connector.name, "owner": connector.owner}
    now = utcnow().isoformat()
    told = {**names, "table": "connector", "event": event, "at": now, "detail": error or "", "count": 1}
    words = wording([told], {event: 1}, rows=1)
    template = registry.notice_template(notify["kind"], payload)
    return template.render(connector=names, event=event, error=error, **words)


async def _insistently(post: Post, doing: Doing) -> None:
    for attempt in range(1, _ATTEMPTS):
        try:
            await perform(post, doing, attempt, lease=post.ledger.lease)
            return
        except RetryableError:
            await asyncio.sleep(_PAUSE_SECONDS)
    await perform(post, doing, _ATTEMPTS, lease=post.ledger.lease)
