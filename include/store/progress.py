"""How far each workflow is, and what lies ahead of it.

The watermark moves only over records that are finished, only from where it was found, and only by whoever has the turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from psycopg.types.json import Jsonb

from include.model import Workflow
from include.store.batch import Batch, Connection
from include.store.db import conninfo, queries
from include.store.rows import workflow_from_row

_SQL = {name: text.encode() for name, text in queries("progress").items()}

# Of records read ahead: one workflow's share of the triggerer's memory.
_ROWS = 200
_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class Look:
    """A workflow as it stands; `stopped_by` is the error at which it stopped, if it did."""

    workflow: Workflow
    has_work: bool
    stopped_by: str | None


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as it lies in the log. One that the filter passes over is not `wanted` and has no payload."""

    position: int
    key: str
    payload: Any
    created_at: datetime
    wanted: bool = True


@dataclass(frozen=True, slots=True)
class Ahead:
    """What lies after the watermark; `in_hand` is the end of a batch that was being sent when somebody died."""

    position: int
    in_hand: int | None
    records: tuple[Stored, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """The watermark is to move from `after` to `position`, over so many processed and failed records."""

    workflow_id: int
    claim: int
    after: int
    position: int
    processed: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Redrive:
    """A dead letter to send again; `record` is None if retention has removed it. `attempts` were made so far."""

    id: int
    position: int
    attempts: int
    record: Stored | None


class Progress:
    """Watermarks as one process moves them; waits as long as the database is away."""

    def __init__(self, database_url: str) -> None:
        info = conninfo(database_url, via="shift")
        self._looks = Batch(info, self._look, gather_seconds=0.01)
        self._steps = Batch(info, self._advance, gather_seconds=0.002)
        self._reads = Batch(info, self._read, gather_seconds=0.0, most=8)
        self._others = Batch(info, self._execute, gather_seconds=0.0, most=1)

    async def close(self) -> None:
        """Disconnect."""
        for batch in (self._looks, self._steps, self._reads, self._others):
            await batch.close()

    async def look(self, workflow_id: int) -> Look | None:
        """The workflow and whether there is anything to do; None if it was deleted."""
        return await self._looks.ask(workflow_id)

    async def ahead(self, workflow: Workflow) -> Ahead | None:
        """The next records; None if there is nothing to do: the workflow has stopped, or its time has not come."""
        return await self._reads.ask(workflow)

    async def hold(self, workflow_id: int, *, after: int, in_hand: int) -> bool:
        """Note the batch about to be sent; False if the watermark is not where it was."""
        parameters = {"workflow_id": workflow_id, "after": after, "in_hand": in_hand}
        return bool(await self._others.ask(("hold", parameters)))

    async def advance(self, step: Step) -> bool:
        """Move the watermark; False if it is not where it was, or the turn is somebody else's: then read again."""
        return await self._steps.ask(step)

    async def quarantine(
        self, workflow: Workflow, step: Step, positions: Sequence[int], *, error: str, attempts: list[dict[str, Any]]
    ) -> bool:
        """Put records aside and move the watermark over them; False as for `advance`."""
        parameters = {
            "workflow_id": workflow.id,
            "connector_id": workflow.connector_id,
            "claim": step.claim,
            "after": step.after,
            "position": step.position,
            "positions": list(positions),
            "error": error,
            "attempts": Jsonb(attempts),
        }
        return bool(await self._others.ask(("quarantine", parameters)))

    async def stop(self, workflow_id: int, *, after: int, position: int, error: str) -> None:
        """Stop at a record until a person retries or skips it."""
        parameters = {"workflow_id": workflow_id, "after": after, "position": position, "error": error}
        await self._others.ask(("stop", parameters))

    async def redriving(self, workflow_id: int) -> list[Redrive]:
        """The dead letters that a person wants to be sent again, oldest record first; not more than a hundred."""
        rows = await self._others.ask(("redriving", {"workflow_id": workflow_id}))
        return [
            Redrive(
                row["id"], row["position"], row["attempts"], _stored({**row, "wanted": True}) if row["kept"] else None
            )
            for row in rows
        ]

    async def redriven(self, redrive: Redrive, *, error: str | None, attempts: list[dict[str, Any]]) -> None:
        """Write what became of a dead letter; with an error it is as dead as before."""
        status = "redriven" if error is None else "dead"
        parameters = {"id": redrive.id, "status": status, "error": error, "attempts": Jsonb(attempts)}
        await self._others.ask(("redriven", parameters))

    async def _look(self, db: Connection, ids: Sequence[int]) -> list[Look | None]:
        rows = await (await db.execute(_SQL["look"], {"workflow_id": list(ids)})).fetchall()
        looks: list[Look | None] = [None] * len(ids)
        for row in rows:
            looks[row["place"] - 1] = Look(workflow_from_row(row), row["has_work"], row["stopped_by"])
        return looks

    async def _read(self, db: Connection, workflows: Sequence[Workflow]) -> list[Ahead | None]:
        return [await _ahead(db, workflow) for workflow in workflows]

    async def _advance(self, db: Connection, steps: Sequence[Step]) -> list[bool]:
        names = ("workflow_id", "claim", "after", "position", "processed", "failed")
        columns = {name: [getattr(step, name) for step in steps] for name in names}
        rows = await (await db.execute(_SQL["advance"], columns)).fetchall()
        moved = {row["place"] for row in rows}
        return [place in moved for place in range(1, len(steps) + 1)]

    async def _execute(self, db: Connection, asks: Sequence[tuple[str, dict[str, Any]]]) -> list[list[dict[str, Any]]]:
        answers: list[list[dict[str, Any]]] = []
        for name, parameters in asks:
            cursor = await db.execute(_SQL[name], parameters)
            answers.append(await cursor.fetchall() if cursor.description else [])
        return answers


async def _ahead(db: Connection, workflow: Workflow) -> Ahead | None:
    mark = await (await db.execute(_SQL["watermark"], {"workflow_id": workflow.id})).fetchone()
    if mark is not None and not mark["begun"]:
        await db.execute(_SQL["begin"], {"workflow_id": workflow.id})
        mark = await (await db.execute(_SQL["watermark"], {"workflow_id": workflow.id})).fetchone()
    if mark is None or not mark["begun"] or mark["stopped_at"] is not None:
        return None
    parameters = {
        "connector_id": workflow.connector_id,
        "after": mark["position"],
        "filter": workflow.filter,
        "rows": max(_ROWS, workflow.batch_size),
        "bytes": _BYTES,
    }
    rows = await (await db.execute(_SQL["records"], parameters)).fetchall()
    return Ahead(mark["position"], mark["in_hand"], tuple(map(_stored, rows)))


def _stored(row: dict[str, Any]) -> Stored:
    created_at = row["created_at"].astimezone(timezone.utc)
    return Stored(row["position"], row["key"], row["payload"], created_at, row["wanted"])
