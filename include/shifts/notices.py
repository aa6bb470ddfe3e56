"""Send what is to be told of jobs and timers: to each channel one message of all that has happened, now and then.

The first notice in a channel waits for others; between two messages there is a time of quiet: so an outage in which a
thousand jobs fail is one message. What cannot be sent is tried again, after longer and longer pauses, for ever. A
process that dies in the middle of sending leaves the message to the next, under the same key.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import psycopg

from include import registry
from include.deadline import within
from include.errors import MillraceError
from include.shifts.bell import utcnow
from include.shifts.perform import Doing, LeaseLost, perform
from include.shifts.post import Post
from include.store.notices import Due, Message, Outbox

log = logging.getLogger(__name__)

_EVERY_SECONDS = 1.0
_FORGET_SECONDS = 3600.0
_AT_ONCE = 20  # channels
_LISTED = 20  # rows in one message

_TIMEOUT = timedelta(seconds=30)
_SEND_SECONDS = 60.0  # with the connection looked up, and a slot waited for
_HOLD_SECONDS = 90.0
_FIRST_PAUSE_SECONDS = 30.0
_LONGEST_PAUSE_SECONDS = 86_400.0

_WORDS = {
    "failure": "failing",
    "recovery": "recovered",
    "missed": "missed",
    "warning": "about to be paused",
    "disabled": "paused by Millrace",
    "attention": "needs attention",
    "test": "a test",
}


class Notices:
    """Sends in the background what is due; processes share the channels."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._outbox = Outbox(post.settings.database_url)
        self._sending: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Start."""
        self._task = asyncio.create_task(self._go_on())

    async def close(self) -> None:
        """Stop; another process sends again what was being sent."""
        tasks = [*self._sending] if self._task is None else [self._task, *self._sending]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._outbox.close()

    async def send(self) -> list[asyncio.Task[None]]:
        """Begin to send what is due now, each message on its own, so that none waits for another."""
        free = _AT_ONCE - len(self._sending)
        if free <= 0:
            return []
        gather_seconds = self._post.settings.notice_gather_seconds
        dues = await self._outbox.take(gather_seconds=gather_seconds, hold_seconds=_HOLD_SECONDS, most=free)
        tasks = [asyncio.create_task(self._send(due)) for due in dues]
        for task in tasks:
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        return tasks

    async def _go_on(self) -> None:
        forgot_at = time.monotonic()
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            try:
                await self._outbox.count_queued()
                await self.send()
                if time.monotonic() - forgot_at > _FORGET_SECONDS:
                    forgot_at = time.monotonic()
                    await self._outbox.forget(days=self._post.settings.ledger_days)
            except psycopg.Error as error:
                log.error("notices cannot be sent, trying again: %s", str(error).splitlines()[:1])

    async def _send(self, due: Due) -> None:
        message = await self._outbox.message(due, most=_LISTED)
        quiet_seconds = self._post.settings.notice_quiet_seconds
        if message is None:
            await self._outbox.sent(due, quiet_seconds=quiet_seconds)
            return
        try:
            await within(_SEND_SECONDS, self._perform(due, message))
        except LeaseLost:
            await self._outbox.let_go(due)
        except Exception as error:  # whatever a kind does wrong is this message's failure, and nobody else's
            pause_seconds = pause(due.attempt, getattr(error, "after_seconds", None))
            spelled = _spell(error)
            log.warning("%s notices cannot be sent, attempt %s: %s", message.channel["kind"], due.attempt, spelled)
            await self._outbox.failed(due, spelled, pause_seconds=pause_seconds)
        else:
            await self._outbox.sent(due, quiet_seconds=quiet_seconds)

    async def _perform(self, due: Due, message: Message) -> None:
        kind = message.channel["kind"]
        names = wording(message.notices, message.counts, message.rows)
        payload = registry.notice_template(kind, message.channel["payload"]).render(**names)
        doing = Doing(kind, payload, f"notice_{due.id}", utcnow(), _TIMEOUT)
        await perform(self._post, doing, due.attempt, lease=self._post.ledger.lease)


def pause(attempt: int, told_seconds: float | None = None) -> float:
    """The wait after a failed attempt, in seconds: twice that before it, at most a day, at least as long as told."""
    grown_seconds = _FIRST_PAUSE_SECONDS * 2.0 ** min(attempt - 1, 16)
    return min(max(grown_seconds, told_seconds or 0.0), _LONGEST_PAUSE_SECONDS)


def wording(notices: Sequence[Mapping[str, Any]], counts: Mapping[str, int], rows: int) -> dict[str, Any]:
    """The names that the templates of a message can use.

    `notices` are the first of them (`event`, `table`, `id`, `name`, `owner`, `at`, `detail`, `count`), `more` is how
    many there are beside them, `count` how many events in all, `counts` by event; `summary` is one line, `text` all of
    it for people, `at` when it was written.
    """
    more = rows - len(notices)
    spelled = ", ".join(f"{counts[event]:,} {word}" for event, word in _WORDS.items() if event in counts)
    summary = f"Millrace: {_told(notices[0]) if rows == 1 else spelled}"
    lines = [f"- {_told(notice)}: {notice['detail']}" for notice in notices]
    if more:
        lines.append(f"- and {more:,} more")
    return {
        "text": f"{summary}: {notices[0]['detail']}" if rows == 1 else "\n".join([summary, *lines]),
        "summary": summary,
        "notices": list(notices),
        "counts": dict(counts),
        "count": sum(counts.values()),
        "more": more,
        "at": utcnow().isoformat(),
    }


def _told(notice: Mapping[str, Any]) -> str:
    """What happened to which row; a number where it happened more than once."""
    times = f" ({notice['count']:,} times)" if notice["count"] > 1 else ""
    return f"{notice['name']}: {_WORDS.get(notice['event'], notice['event'])}{times}"


def _spell(error: Exception) -> str:
    """The error in words; what is not our own may hold a secret."""
    if isinstance(error, MillraceError):
        return str(error).replace("\x00", "")[:1000]
    return f"not sent within {_SEND_SECONDS:g} s" if isinstance(error, asyncio.TimeoutError) else type(error).__name__
