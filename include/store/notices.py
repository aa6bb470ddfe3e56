"""Notices: what is to be told of jobs and timers, from the statement that notes it until it has been sent.

The database writes a notice together with what it tells of. Those of one channel wait for each other and become one
message, which stays the same, under the same id, until it has been sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from include.store.batch import Batch, Connection
from include.store.db import DictConnection, conninfo, queries
from include.store.edits import Row

_SQL = {name: text.encode() for name, text in queries("notices").items()}

_Ask = tuple[str, dict[str, object]]


@dataclass(frozen=True, slots=True)
class Due:
    """A message that is to be sent now, by whoever took it; `attempt` counts from 1."""

    key: str
    id: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Message:
    """What a message tells: `counts` by event, how many `rows` it is about, and `notices` of the first of these."""

    channel: dict[str, Any]
    counts: dict[str, int]
    rows: int
    notices: list[dict[str, Any]]


class Outbox:
    """What is to be sent, as one process sees it; it waits as long as the database is away."""

    def __init__(self, database_url: str) -> None:
        self._asks: Batch[_Ask, list[Row]] = Batch(
            conninfo(database_url, via="notices"), _execute, gather_seconds=0.0, most=1
        )

    async def close(self) -> None:
        """Disconnect; what was taken is free again when its time has run out."""
        await self._asks.close()

    async def count_queued(self) -> None:
        """Have outcomes counted that were written while somebody had their job locked, and noted what is to be told."""
        await self._asks.ask(("count_queued", {}))

    async def take(self, *, gather_seconds: float, hold_seconds: float, most: int) -> list[Due]:
        """The messages to send now; for `hold_seconds` nobody else gets them."""
        wanted: dict[str, object] = {"gather_seconds": gather_seconds, "hold_seconds": hold_seconds, "most": most}
        return [Due(**row) for row in await self._asks.ask(("take", wanted))]

    async def message(self, due: Due, *, most: int) -> Message | None:
        """What is in a message, of at most so many rows; None if it has been sent."""
        [row] = await self._asks.ask(("message", {"id": due.id, "most": most}))
        return None if row["channel"] is None else Message(**row)

    async def sent(self, due: Due, *, quiet_seconds: float) -> None:
        """Note that it was sent; the next one in its channel has to wait so long."""
        await self._asks.ask(("sent", {"key": due.key, "id": due.id, "quiet_seconds": quiet_seconds}))

    async def failed(self, due: Due, error: str, *, pause_seconds: float) -> None:
        """Note why it could not be sent; it is due again after the pause."""
        wanted: dict[str, object] = {"key": due.key, "id": due.id, "error": error, "pause_seconds": pause_seconds}
        await self._asks.ask(("failed", wanted))

    async def let_go(self, due: Due) -> None:
        """Give it back without having tried."""
        await self._asks.ask(("let_go", {"key": due.key, "id": due.id}))

    async def forget(self, *, days: int) -> None:
        """Remove what was sent so long ago."""
        await self._asks.ask(("forget_notices", {"days": days}))
        await self._asks.ask(("forget_channels", {"days": days}))


async def _execute(db: Connection, asks: Sequence[_Ask]) -> list[list[Row]]:
    answers = []
    for name, parameters in asks:
        cursor = await db.execute(_SQL[name], parameters)
        answers.append(await cursor.fetchall() if cursor.description else [])
    return answers


def owners(db: DictConnection) -> list[Row]:
    """Whom to tell where jobs do not say, by owner."""
    return db.execute(_SQL["list_owners"]).fetchall()


def owner(db: DictConnection, name: str) -> Row | None:
    """Whom to tell where this owner's jobs do not say."""
    return db.execute(_SQL["owner"], {"owner": name}).fetchone()


def set_owner(db: DictConnection, name: str, notify: dict[str, Any]) -> Row:
    """Have this owner told so, in place of what was said before. Call it inside `changing`."""
    row = db.execute(_SQL["set_owner"], {"owner": name, "notify": Jsonb(notify)}).fetchone()
    assert row is not None  # noqa: S101 - an upsert returns its row
    return row


def unset_owner(db: DictConnection, name: str) -> bool:
    """Have this owner told nothing more; False if that was so."""
    return db.execute(_SQL["unset_owner"], {"owner": name}).fetchone() is not None


def unsent(db: DictConnection) -> list[Row]:
    """The channels in which something is still to be sent, the longest waiting first."""
    return db.execute(_SQL["list_unsent"]).fetchall()


def add_test(db: DictConnection, name: str, channel: dict[str, Any], detail: str) -> None:
    """Have a test sent to this owner, as any other notice."""
    db.execute(_SQL["add_test"], {"owner": name, "channel": Jsonb(channel), "detail": detail})
