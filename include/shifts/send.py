"""One record, or one batch of them, sent by a workflow's action, with the workflow's retries."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

from include.errors import MillraceError
from include.model import Output, Workflow
from include.registry import template_of
from include.shifts.bell import utcnow
from include.shifts.perform import Doing, LeaseLost, entry, perform
from include.shifts.post import Post
from include.store.progress import Stored

log = logging.getLogger(__name__)

_GONE = 410


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a call, retries included: the error it ended with, if any, and every attempt.

    `is_gone`: the receiver says that it is gone for good (410, RFC 9110 15.5.11), and wants no more calls.
    """

    error: str | None
    attempts: list[dict[str, Any]]
    is_gone: bool = False


def webhook_id(workflow: Workflow, position: int) -> str:
    """The key of a call: the same whenever it is sent, and free of dots (Standard Webhooks 1.0.0)."""
    return f"{workflow.id}:{workflow.connector_id}:{position}"


class Sender:
    """Sends records for one workflow; its templates are compiled once. `ConfigError` if the row makes no sense."""

    def __init__(self, post: Post, workflow: Workflow) -> None:
        self.revision = workflow.revision
        self._post = post
        self._workflow = workflow
        self._template = template_of(workflow)
        self._names = {
            "workflow": {
                "id": workflow.id,
                "name": workflow.name,
                "every_seconds": workflow.schedule.every.total_seconds() if workflow.schedule.every else None,
                "batch_size": workflow.batch_size,
            },
            "owner": workflow.owner,
            "connector": {"id": workflow.connector_id, "name": workflow.connector_name},
        }

    async def send(self, batch: Sequence[Stored], *, lease: int, attempts_before: int = 0) -> Outcome:
        """Send the batch until it is taken, refused, or the retries are used up; its key is its last position.

        Raises `LeaseLost` if the turn, which was taken under `lease`, may be somebody else's by now.
        """
        workflow, attempts = self._workflow, []
        key = webhook_id(workflow, batch[-1].position)
        for number in count(1):
            started_at = utcnow()
            sent: dict[str, str] = {}
            output, error = await self._attempt(batch, key, attempts_before + number, started_at, lease, sent)
            made = entry(
                attempts_before + number, started_at, utcnow(), output, error, sent=sent, revision=self.revision
            )
            attempts.append(made)
            if error is None:
                return Outcome(None, attempts)
            if not workflow.retry.allows(error, number):
                return Outcome(_spell(error), attempts, is_gone=getattr(error, "code", None) == _GONE)
            wait = workflow.retry.wait(number, key, getattr(error, "after_seconds", None) or 0.0)
            await asyncio.sleep(wait.total_seconds())
        raise AssertionError("counting does not end")

    async def _attempt(
        self, batch: Sequence[Stored], key: str, number: int, due: datetime, lease: int, sent: dict[str, str]
    ) -> tuple[Output | None, Exception | None]:
        try:
            records = [self._document(record) for record in batch]
            payload = self._template.render(record=records[-1], records=records, **self._names)
            doing = Doing(self._workflow.kind, payload, key, due, self._workflow.timeout, sent=sent)
            return await perform(self._post, doing, number, lease=lease), None
        except LeaseLost:
            raise
        except Exception as error:  # whatever a kind does wrong is this record's failure, and nobody else's
            if not isinstance(error, MillraceError):
                log.exception("kind %s raised", self._workflow.kind)
            return None, error

    def _document(self, record: Stored) -> dict[str, Any]:
        """A record as templates see it, and as it is sent where the row does not say what to send."""
        return {
            "connector": self._workflow.connector_name,
            "position": record.position,
            "key": record.key,
            "created_at": record.created_at.isoformat(),
            "payload": record.payload,
        }


def _spell(error: Exception) -> str:
    if isinstance(error, MillraceError):
        return str(error)
    return f"{type(error).__name__}: {error}"
