"""The work of `chaos`: jobs of every kind, at every pace, and with every rule that decides what a crash may do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from bench.chaos_audit import SECOND, AuditedJob, Beat

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MINUTE = 60
_UNKEYED = ("ping", "slack", "sql")
SMTP, DATABASE = "chaos_smtp", "chaos_database"  # Airflow's connections


@dataclass(frozen=True, slots=True)
class Wish:
    """A job to be. `every` in seconds; else once a minute, at second `second`; else once, at `once` of the whole time.

    `to` is what the sink does with its calls.
    """

    kind: str
    every: int | None = None
    second: int | None = None
    once: float | None = None
    to: str = "fine"
    number: int = 1
    row: dict[str, Any] = field(default_factory=dict)


_ALL = {"misfire": "all", "overlap": "allow"}
_WISHES = (
    Wish("webhook", every=1, number=3, row=_ALL),
    Wish("webhook", every=2, number=2, row={"misfire": "all", "overlap": "queue"}),
    Wish("webhook", every=3, number=2),
    Wish("webhook", every=5, number=2, row={"delivery": "at_most_once"}),
    Wish("webhook", every=2, number=2, to="flaky", row=_ALL),
    Wish("webhook", every=15, to="broken", row={"retries": 1}),
    Wish("webhook", every=10, row={"jitter": "3 seconds"}),
    Wish("http", every=4, number=2, row=_ALL),
    Wish("slack", every=7),
    Wish("ping", every=5, row={"delivery": "at_most_once"}),  # a GET that is at least once may be repeated unasked
    Wish("email", every=6, number=2, row=_ALL),
    *(Wish("webhook", second=second, row=_ALL) for second in (5, 25, 45)),
    Wish("http", second=15),
    Wish("email", second=35),
    Wish("shell", second=10),
    Wish("sql", second=30),
    Wish("python", second=50),
    *(Wish(kind, once=0.1 + 0.1 * place) for place, kind in enumerate(("webhook", "http", "slack", "email", "ping"))),
    *(Wish(kind, once=0.3 + 0.2 * place) for place, kind in enumerate(("shell", "sql", "python"))),
)


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """The row of a job as a document, and what the audit needs to know of it."""

    document: dict[str, Any]
    place: str
    beat: Beat
    keyed: bool
    makes_up: bool
    at_most_once: bool

    def audited(self, job_id: int, owed_from: datetime) -> AuditedJob:
        return AuditedJob(
            id=job_id,
            place=self.place,
            beat=self.beat,
            owed_from=micros(owed_from),
            keyed=self.keyed,
            makes_up=self.makes_up,
            at_most_once=self.at_most_once,
        )


def micros(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1)


def planned(start: datetime, load: datetime, end: datetime, *, sink_url: str, shell_file: str) -> Iterator[PlannedJob]:
    """Every job, due from `start` (a whole second) to before `end`; those that are due once, after `load`."""
    for line, wish in enumerate(_WISHES):
        for number in range(wish.number):
            name = f"{line}-{wish.kind}-{number}"
            place = f"/{wish.to}/{name}"
            beat, schedule = _schedule(wish, start, load, end)
            row = {"name": name, "kind": wish.kind, "payload": _payload(wish.kind, sink_url, place, shell_file)}
            makes_up = wish.row.items() >= _ALL.items()
            once = wish.row.get("delivery") == "at_most_once"
            more = {"timeout": "20 seconds", "retries": 3} if wish.kind in ("shell", "sql", "python") else {}
            yield PlannedJob(
                {**row, **schedule, **more, **wish.row}, place, beat, wish.kind not in _UNKEYED, makes_up, once
            )


def _schedule(wish: Wish, start: datetime, load: datetime, end: datetime) -> tuple[Beat, dict[str, Any]]:
    window = {"starts_at": start.isoformat(), "ends_at": end.isoformat()}
    if wish.every is not None:
        beat = Beat(micros(start), wish.every * SECOND, micros(end))
        return beat, {"every": f"{wish.every} seconds", **window}
    if wish.second is not None:
        first = start + timedelta(seconds=(wish.second - start.second) % _MINUTE)
        return Beat(micros(first), _MINUTE * SECOND, micros(end)), {"cron": f"{wish.second} * * * * *", **window}
    instant = load + (end - load) * (wish.once or 0.0)
    return Beat(micros(instant), 0, micros(end)), {"run_at": instant.isoformat()}


def _payload(kind: str, sink_url: str, place: str, shell_file: str) -> dict[str, Any]:
    url = sink_url + place
    payloads: dict[str, dict[str, Any]] = {
        "webhook": {"url": url},
        "http": {"url": url, "method": "POST", "json": {"to": place}},
        "ping": {"url": url},
        "slack": {"url": url, "text": place},
        "email": {"conn_id": SMTP, "to": "someone@example.com", "subject": place, "text": place},
        "shell": {"command": f'echo "$(date +%s.%6N),$MILLRACE_KEY,{place}" >> {shell_file}'},
        "sql": {
            "conn_id": DATABASE,
            "sql": "insert into public.chaos_effect (place) values (%(place)s)",
            "parameters": {"place": place},
        },
        "python": {"function": "chaos_function:call", "arguments": {"url": url}},
    }
    return payloads[kind]
