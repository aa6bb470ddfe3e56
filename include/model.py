"""The nouns: what the other layers hand to each other. Data and its rules, no behaviour that reaches outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue

from include.retry import RetryPolicy
from include.schedule import Schedule

BODY_CAP = 64 * 1024
PAGE_CAP = 8 * 1024 * 1024

Status = Literal["running", "retrying", "success", "failed", "skipped", "missed", "cancelled"]

Delivering = Literal["at_least_once", "at_most_once"]

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
    retry: RetryPolicy
    timeout: timedelta
    delivery: Delivering
    disable_after: int | None
    half_open: bool
    probe_every: timedelta
    notify: dict[str, Any] | None
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
class Connector:
    """One row of `connector`. `schedule` is when it is pulled; while it is failing, when it is probed."""

    id: int
    name: str
    owner: str
    kind: str
    config: dict[str, Any]
    schedule: Schedule
    every: timedelta | None
    rate_limit: str | None
    budget: str | None
    timeout: timedelta
    alert_after: int
    notify: dict[str, Any] | None
    is_active: bool
    paused_until: datetime | None
    cursor: JsonValue
    failures: int
    failing_since: datetime | None
    not_before: datetime | None
    revision: int
    schedule_changed_at: datetime
    error: str | None = None

    @property
    def dag_id(self) -> str:
        return f"connector_{self.id}"


@dataclass(frozen=True, slots=True)
class Workflow:
    """One row of `workflow`, with its connector's name. It is due every `schedule.every` from `started_at` on."""

    id: int
    name: str
    owner: str
    connector_id: int
    connector_name: str
    schedule: Schedule
    started_at: datetime
    filter: str | None
    kind: str
    payload: dict[str, Any]
    on_error: Literal["quarantine", "stop", "skip"]
    batch_size: int
    retry: RetryPolicy
    timeout: timedelta
    is_active: bool
    paused_until: datetime | None
    revision: int
    schedule_changed_at: datetime
    error: str | None = None

    @property
    def dag_id(self) -> str:
        return f"workflow_{self.id}"


@dataclass(frozen=True, slots=True)
class Timer:
    """One row of `timer`, as it is fired: a webhook, due once. `attempt` counts from 1."""

    id: int
    owner: str
    url: str
    method: str
    headers: dict[str, str]
    body: dict[str, Any] | list[Any] | str | None
    conn_id: str | None
    due_at: datetime
    retry: RetryPolicy
    timeout: timedelta
    delivery: Delivering
    attempt: int
    base_attempt: int


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that a source has. Without a `key` its content is its key."""

    key: str | None
    payload: JsonValue


@dataclass(frozen=True, slots=True)
class Page:
    """Records, and where to go on after them: committed together or not at all.

    `cursor` is any JSON; the next pull gets it back. `about` is what a preview shows of how the page came about.
    """

    records: Sequence[Record]
    cursor: JsonValue
    about: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Connection:
    """An Airflow connection: where secrets are. It is not to be logged, so its `repr` shows its name only."""

    id: str
    type: str | None = None
    host: str | None = field(default=None, repr=False)
    port: int | None = field(default=None, repr=False)
    schema: str | None = field(default=None, repr=False)
    login: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


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
        body_cap: int = BODY_CAP,
    ) -> Reply:
        """Return the reply whatever its status; raise `RetryableError` or `PermanentError` where there is none."""
        ...

    async def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host that may be connected to, for protocols other than HTTP: connect to these, and look
        the name up no more. `PermanentError` if there are none, `RetryableError` if the name cannot be resolved.
        """
        ...


C = TypeVar("C", bound=Config)


@dataclass(frozen=True, slots=True)
class Call(Generic[C]):
    """One attempt at one occurrence, as an action sees it.

    `key` is the same for every attempt at the same occurrence: what receivers deduplicate by. `attempt` counts from 1.
    `connection` is the one that the configuration names as `conn_id`; `open_database` connects to the one that it is
    given, by its type's hook (PEP 249), and blocks: it is there on workers only. `hide` is for what is logged
    meanwhile: the text without the connection's secrets; what is returned or raised needs no such care. `sent` is what
    the ledger notes of what is sent: `http` notes method and URL of its first request there, unless the action has
    noted something itself, in short texts, before it sends.
    """

    config: C
    key: str
    due: datetime
    attempt: int
    timeout_seconds: float
    http: Http
    connection: Connection | None = None
    open_database: Callable[[Connection], Any] | None = None
    hide: Callable[[str], str] = str
    sent: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Output:
    """What an attempt gave: a `line` for the log, a status `code` if any, a capped `excerpt`, and JSON `data`."""

    line: str
    code: int | None = None
    excerpt: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Source(Generic[C]):
    """One pull, as a connector sees it.

    `cursor` is that of the last page that was committed, None before the first. `connection` is the one that the
    configuration names as `conn_id`. `http` keeps to the row's rate limit; a request may take `timeout_seconds`, and a
    page's body is at most `PAGE_CAP` bytes. `now` is when the pull began.
    """

    config: C
    cursor: JsonValue
    http: Http
    connection: Connection | None
    now: datetime
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Delivery(Generic[C]):
    """What somebody pushed, as a connector sees it: header names in lower case, the body as it came."""

    config: C
    headers: Mapping[str, str]
    body: bytes
    connection: Connection | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Received:
    """What a delivery holds; `id` is the sender's own for it, by which a delivery that comes twice is stored once."""

    records: Sequence[Record]
    id: str | None = None
