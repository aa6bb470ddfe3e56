"""A shift for a connector: pull until caught up, sleep until the next occurrence, again.

Being told to wait is no failure: what came is kept, and the pull goes on when it may. Failures back off; after
`alert_after` in a row the connector counts as failing: `notify` is called, the run ends red, and from then on each
occurrence is a probe, a run of its own, until one succeeds.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from include import registry
from include.errors import MillraceError, RateLimitedError
from include.model import Connection, Connector, Source
from include.schedule import Schedule
from include.shifts.bell import sleep_until, utcnow
from include.shifts.blot import blot_of
from include.shifts.drain import Drained, drain
from include.shifts.notice import tell
from include.shifts.pace import OutOfTurnError, Pace, PacedHttp, Taker
from include.shifts.post import Post
from include.shifts.rounds import ASK_AGAIN, Rounds
from include.shifts.shift import Ending, Shift

log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 300.0
_WAIT_SECONDS = 60.0  # where the source does not say how long

_DELETED = Ending("skipped", "the connector was deleted")


async def stand(shift: Shift, post: Post) -> Ending:
    """Be on duty for `shift` and say how it ended."""
    connector = await post.log.connector(shift.row_id)
    if connector is None:
        return _DELETED
    pulling = Pulling(shift, post, connector)
    try:
        if pulling.is_one_pull:
            return await pulling.once()
        with post.on_duty(pulling.rounds):
            await pulling.rounds.go(pulling)
    except asyncio.CancelledError:
        await asyncio.shield(pulling.rounds.end_turn())
        raise
    return pulling.ending or Ending("success", str(pulling))


async def end(shift: Shift, post: Post) -> bool:
    """A person ended the run in Airflow: nothing is to be undone, for a page and its cursor are stored together.

    Whether the run was to last, so that nobody is on duty for what comes next: not if it was a probe.
    """
    connector = None if shift.by_hand else await post.log.connector(shift.row_id)
    return connector is not None and registry.has_shifts(connector)


class Pulling:
    """One connector at work."""

    def __init__(self, shift: Shift, post: Post, connector: Connector) -> None:
        self.connector = connector
        self.ending: Ending | None = None
        self.is_called = False
        self.rounds = Rounds(shift, post)
        self._shift = shift
        self._post = post
        self._pace: tuple[str | None, Pace | None] = (None, None)
        self._connection: Connection | None = None
        self._pulls = 0
        self._stored = 0

    def __str__(self) -> str:
        return f"{self._pulls} pulls, {self._stored} new records"

    @property
    def is_one_pull(self) -> bool:
        """By hand, on a worker, or to probe a connector that is failing: such a run is one pull."""
        on_worker = self.connector.kind in registry.source_kinds() and registry.source(self.connector.kind).runs_on
        return self._shift.by_hand or self.connector.failing_since is not None or on_worker == "worker"

    @property
    def schedule(self) -> Schedule:
        return self.connector.schedule

    @property
    def is_active(self) -> bool:
        return self.connector.is_active

    @property
    def paused_until(self) -> datetime | None:
        return self.connector.paused_until

    async def reload(self) -> bool:
        connector = await self._post.log.connector(self.connector.id)
        if connector is None:
            self.ending = _DELETED
        else:
            if connector.failing_since is not None and self.connector.failing_since is None:
                self.ending = Ending("failed", "the connector is failing")  # somebody else found out; probes take over
            self.connector = connector
        return connector is not None

    async def once(self) -> Ending:
        """One pull, on its instant."""
        if not self._shift.by_hand:
            await sleep_until(self._shift.due)
        if self.connector.kind in registry.source_kinds() and registry.source(self.connector.kind).runs_on == "api":
            return Ending("skipped", "this connector is pushed to; there is nothing to pull")
        await self.rounds.await_turn()
        if not await self.reload():
            return _DELETED
        if not self._shift.by_hand and not self._is_due:
            return Ending("skipped", "paused, or the schedule was changed")
        failure = await self._pull()
        if isinstance(failure, RateLimitedError):
            return Ending("success", f"{self}; the source says to wait: {self._spell(failure)}")
        return Ending("success", str(self)) if failure is None else Ending("failed", self._spell(failure))

    @property
    def _is_due(self) -> bool:
        now = utcnow()
        paused = not self.is_active or (self.paused_until is not None and self.paused_until > now)
        waits = self.connector.not_before is not None and self.connector.not_before > now
        return not paused and not waits

    async def round(self) -> datetime | None:
        """Pull once; after a failure, or if told to wait, do so again at the instant returned."""
        if not await self.rounds.take_turn():
            return None if self.rounds.was_done else utcnow() + ASK_AGAIN
        if not await self.reload() or self.ending is not None:
            await self.rounds.end_turn()
            return None
        not_before = self.connector.not_before
        if not_before is not None and not_before > utcnow():
            await self.rounds.end_turn()
            return not_before
        failure = await self._pull()
        if failure is None:
            return None
        after_seconds = getattr(failure, "after_seconds", None) or 0.0
        if isinstance(failure, RateLimitedError):
            return utcnow() + timedelta(seconds=after_seconds or _WAIT_SECONDS)
        if self.connector.failing_since is not None:
            self.ending = Ending("failed", self._spell(failure))
        doublings = min(self.connector.failures - 1, 16)
        pause_seconds = min(_FIRST_PAUSE_SECONDS * 2**doublings, _LONGEST_PAUSE_SECONDS)
        return utcnow() + timedelta(seconds=max(pause_seconds, after_seconds))

    async def _pull(self) -> Exception | None:
        """Pull once, note how it went, and give the turn back; return what went wrong."""
        done = Drained()
        failure: Exception | None = None
        try:
            await self._drain(done)
        except Exception as caught:  # whatever a kind does wrong is this connector's failure, and nobody else's
            failure = caught
        self._pulls += 1
        self._stored += done.stored
        await self._note(done, failure)
        await self.rounds.end_turn()
        return failure

    async def _drain(self, done: Drained) -> None:
        connector, post = self.connector, self._post
        kind = registry.source(connector.kind)
        config = kind.parse(connector.config)
        conn_id = getattr(config, "conn_id", None)
        self._connection = None if conn_id is None else await post.connections(conn_id)
        deadline = time.monotonic() + post.settings.pull_seconds
        source = Source(
            config=config,
            cursor=connector.cursor,
            http=PacedHttp(post.http, self._takers(), deadline),
            connection=self._connection,
            now=utcnow(),
            timeout_seconds=connector.timeout.total_seconds(),
        )
        await drain(post.log, connector.id, kind, source, post.settings, done)

    def _takers(self) -> list[Taker]:
        """The limits of this row: its own, and that of its budget."""
        rate_limit, budget = self.connector.rate_limit, self.connector.budget
        if rate_limit != self._pace[0]:
            self._pace = (rate_limit, None if rate_limit is None else Pace(rate_limit))
        takers: list[Taker] = [] if budget is None else [partial(self._post.log.take_token, budget)]
        return takers if self._pace[1] is None else [*takers, self._pace[1].take_now]

    def _spell(self, error: Exception) -> str:
        """The error in words, in which no secret of the connection is left."""
        text = str(error) if isinstance(error, MillraceError) else f"{type(error).__name__}: {error}"
        return blot_of(self._connection).text(text)

    async def _note(self, done: Drained, failure: Exception | None) -> None:
        """Write on the row how the pull went; tell whoever wants to know that it began to fail, or has recovered."""
        connector, records = self.connector, self._post.log
        if failure is None:
            if done.stored or done.cut:
                log.info("%s", done)
            if await records.pulled(connector.id) is not None:
                await tell(self._post, connector, "recovered", None)
        elif isinstance(failure, RateLimitedError):
            seconds = failure.after_seconds or _WAIT_SECONDS
            log.info("%s; told to wait %.0f s: %s", done, seconds, self._spell(failure))
            await records.waits(connector.id, seconds, self._spell(failure))
            if connector.budget is not None and not isinstance(failure, OutOfTurnError):
                await records.drain_budget(connector.budget, seconds)
        else:
            state = await records.fails(connector.id, self._spell(failure))
            self.connector = replace(connector, failures=state.failures, failing_since=state.failing_since)
            log.warning("%s; failure %s in a row: %s", done, state.failures, self._spell(failure))
            if not isinstance(failure, MillraceError):
                log.warning("%s", blot_of(self._connection).text("".join(traceback.format_exception(failure))))
            if state.alarm:
                await tell(self._post, connector, "failing", self._spell(failure))
