"""/health: whether Millrace is well, for load balancers and people. No login, and so no names."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Literal

import psycopg
from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from include.api.answer import answer, response
from include.api.remembered import Remembered
from include.api.route import api_router
from include.api.unfired import watch_of
from include.documents.fields import ShownInstant
from include.errors import MillraceError
from include.settings import Settings
from include.shifts.unfired import GRACE, Unfired, UnfiredWatch
from include.store import health as signs
from include.store.db import connect
from include.store.health import COMPONENTS, Sign
from include.times import spell_instant

router = api_router(tags=["operations"])

_BELIEVED_SECONDS = 2.0
_MOST_SECONDS = 5.0
_WORST = ("unhealthy", "degraded", "healthy")
_WITHOUT = {  # what is the matter while a component is silent
    "scheduler": ("unhealthy", "no runs are made"),
    "triggerer": ("unhealthy", "nothing is fired"),
    "dag_processor": ("degraded", "new rows and new schedules do not become DAGs"),
}

Status = Literal["healthy", "degraded", "unhealthy", "unknown"]


class Check(BaseModel):
    """How one part is."""

    status: Status
    latest_heartbeat: ShownInstant | None = Field(None, description="Its last sign of life, if it gives any.")
    detail: str = Field(description="A sentence for people.")


class Health(BaseModel):
    """How Millrace is: as well as the least well of its parts. What is unknown does not count."""

    status: Literal["healthy", "degraded", "unhealthy"]
    checks: dict[str, Check]


class Alive(BaseModel):
    """This process answers."""

    status: Literal["alive"] = "alive"


@router.get("/health", response_model=Health, responses={503: {"model": Health, "description": "Unhealthy"}})
async def health(request: Request) -> Response:
    """How the database and Airflow's components are, and whether all that was due has begun, as of at most 2 s ago.

    200 if it is `healthy` or `degraded` (work is done, but late, or new rows must wait), 503 if it is `unhealthy`.
    """
    try:
        found = await _remembered(request).get(_MOST_SECONDS)
    except asyncio.TimeoutError:
        found = _without_database(f"it did not answer within {_MOST_SECONDS:g} s")
    return response(answer(Health, found, 503 if found.status == "unhealthy" else 200))


@router.get("/health/live", response_model=Alive)
async def live() -> Alive:
    """Whether this process answers, whatever else may be wrong: for whoever would start it again."""
    return Alive()


def _remembered(request: Request) -> Remembered[Health]:
    state = request.app.state
    if not hasattr(state, "health"):
        settings: Settings = state.settings
        state.health = Remembered(partial(_look, settings.database_url, watch_of(request.app)), _BELIEVED_SECONDS)
    found: Remembered[Health] = state.health
    return found


def _look(database_url: str, unfired: UnfiredWatch) -> Health:
    try:
        with connect(database_url, via="api") as db:
            db.execute("set statement_timeout = '5s'")
            now = signs.now(db)
            checks = {
                "database": Check(status="healthy", detail="it answers"),
                **_components(signs.signs_of_life(db), now),
                "oldest_due_unfired": _unfired(unfired.oldest(db)),
                "oldest_due_timer": _timer(signs.oldest_timer(db), now),
            }
    except (psycopg.Error, MillraceError) as error:
        return _without_database(f"it does not answer: {type(error).__name__}")
    return _overall(checks)


def _overall(checks: Mapping[str, Check]) -> Health:
    found = {check.status for check in checks.values()}
    return Health.model_validate({"status": next(state for state in _WORST if state in found), "checks": checks})


def _components(found: Mapping[str, Sign], now: datetime) -> dict[str, Check]:
    if not found:
        return {name: Check(status="unknown", detail="Airflow's tables are in another database") for name in COMPONENTS}
    return {name: _component(name, found[name], now) for name in COMPONENTS}


def _component(name: str, sign: Sign, now: datetime) -> Check:
    if sign.is_alive:
        return Check(status="healthy", latest_heartbeat=sign.heartbeat_at, detail="it is alive")
    status, consequence = _WITHOUT[name]
    silence = "it has never given a sign of life"
    if sign.heartbeat_at is not None:
        silence = f"it gave its last sign of life {_length(now - sign.heartbeat_at)} ago"
    return Check.model_validate(
        {"status": status, "latest_heartbeat": sign.heartbeat_at, "detail": f"{silence}; {consequence}"}
    )


def _unfired(oldest: Unfired | None) -> Check:
    if oldest is None:
        return Check(status="healthy", detail="all that was due has begun")
    late = f"job_{oldest.job_id} was due {oldest.late_seconds:.0f} s ago, at {spell_instant(oldest.due)}"
    return Check(status="degraded", detail=f"{late}, and has not begun")


def _timer(oldest: datetime | None, now: datetime) -> Check:
    if oldest is None or now - oldest <= GRACE:
        return Check(status="healthy", detail="all timers that were due have been sent")
    return Check(status="degraded", detail=f"a timer should have been sent {_length(now - oldest)} ago, and has not")


def _without_database(detail: str) -> Health:
    unknown = Check(status="unknown", detail="the database would know")
    names = (*COMPONENTS, "oldest_due_unfired", "oldest_due_timer")
    return _overall({"database": Check(status="unhealthy", detail=detail), **dict.fromkeys(names, unknown)})


def _length(length: timedelta) -> str:
    return f"{length.total_seconds():.0f} s"
