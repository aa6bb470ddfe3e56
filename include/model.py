"""The nouns: what the other layers hand to each other. Data and its rules, no behaviour that reaches outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from include.schedule import Schedule

Status = Literal["running", "retrying", "success", "failed", "skipped", "missed", "cancelled"]

FINAL: frozenset[Status] = frozenset({"success", "failed", "skipped", "missed", "cancelled"})


class Config(BaseModel):
    """A kind's settings: frozen, and closed, so that a misspelt key is an error and not a surprise."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class Job:
    """One row of `job`. Times are aware UTC."""

    id: int
    name: str
    owner: str
    kind: str
    payload: dict[str, Any]
    schedule: Schedule
    overlap: Literal["skip", "queue", "allow"]
    misfire: Literal["skip", "latest", "all"]
    max_lateness: timedelta
    retries: int
    retry_delay: timedelta
    retry_backoff: float
    timeout: timedelta
    delivery: Literal["at_least_once", "at_most_once"]
    is_active: bool
    paused_until: datetime | None
    revision: int
    schedule_revision: int
    schedule_changed_at: datetime
    error: str | None = None

    @property
    def dag_id(self) -> str:
        return f"job_{self.id}"


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response: `body` holds at most the cap, `truncated` says whether there was more."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    url: str

    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 are replaced, and NUL, which PostgreSQL cannot store, too."""
        return self.body.decode("utf-8", "replace").replace("\x00", "\ufffd")


class Http(Protocol):
    """The guarded way out (`include/egress.py`): every address is checked at the moment of connecting."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_seconds: float,
        follow_redirects: bool = True,
    ) -> Reply:
        """Return the reply whatever its status; raise `RetryableError` or `PermanentError` where there is none."""
        ...


C = TypeVar("C", bound=Config)


@dataclass(frozen=True, slots=True)
class Call(Generic[C]):
    """One attempt at one occurrence, as an action sees it.

    `key` is the same for every attempt at the same occurrence: what receivers deduplicate by. `attempt` counts from 1.
    """

    config: C
    key: str
    due: datetime
    attempt: int
    timeout_seconds: float
    http: Http


@dataclass(frozen=True, slots=True)
class Output:
    """What an attempt gave: a `line` for the log, a status `code` if any, a capped `excerpt`, and JSON `data`."""

    line: str
    code: int | None = None
    excerpt: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
