"""/compat/timers: the timers of a predecessor, by hours, minutes and seconds.

What is wrong is said as problem details, as everywhere in this API.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from include.api.answer import answer, response
from include.api.compat.refusals import PredecessorRoute, row_id
from include.api.login import CallerDep
from include.api.problem import problems
from include.api.sent import Sent
from include.api.transactions import Db
from include.documents import timer as documents
from include.documents.invalid import parse
from include.documents.timer import TimerSettings
from include.store.edits import Row
from include.store.idempotency import Answer
from include.store.timers import time_left
from include.times import utcnow

router = APIRouter(route_class=PredecessorRoute, prefix="/timers", tags=["compat"])


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("write a number")
    return 0 if value is None else value


Part = Annotated[int, BeforeValidator(_number)]


class WantedTimer(BaseModel):
    """When, from now, and where to; numbers that are missing are 0."""

    model_config = ConfigDict(
        extra="ignore", json_schema_extra={"examples": [{"minutes": 5, "url": "https://example.com/"}]}
    )

    hours: Part = 0
    minutes: Part = 0
    seconds: Part = 0
    url: str


class TimeLeft(BaseModel):
    """A timer, and in how many seconds it is sent; 0 if it has been."""

    id: int
    time_left: int = Field(ge=0)


@router.post("", response_model=TimeLeft, responses=problems(400))
def set_timer(wanted: WantedTimer, sent: Sent, transactions: Db) -> Response:
    """Add a timer: a POST to the URL, so many hours, minutes and seconds from now."""
    settings = parse(TimerSettings, wanted.model_dump())
    return transactions.once(sent, lambda db: _answer(documents.create(db, sent.caller, settings, utcnow()).row))


@router.get("/{timer_id}", response_model=TimeLeft, responses=problems(400, 404))
def get_time_left(timer_id: str, caller: CallerDep, transactions: Db) -> Response:
    """How many seconds are left."""
    wanted = row_id(timer_id, "id: write the number of a timer")
    with transactions.reading() as db:
        row = documents.get(db, caller, wanted)
    return response(_answer(row))


def _answer(row: Row) -> Answer:
    left = time_left(row, utcnow()) or timedelta(0)
    # Rounded up: what has not been sent yet has some time left.
    return answer(TimeLeft, {"id": row["id"], "time_left": -(-left // timedelta(seconds=1))})
