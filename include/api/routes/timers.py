"""/timers: calls that are made once, at an instant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import Field

from include.api import paging
from include.api.answer import answer, empty, response
from include.api.gathered import Gathered
from include.api.login import CallerDep
from include.api.paging import Cursor, Limit, OwnerFilter, Page
from include.api.problem import problems
from include.api.route import api_router
from include.api.sent import Sent
from include.api.threads import ThreadsDep
from include.api.transactions import Db, Transactions
from include.documents import timer as documents
from include.documents.caller import Caller
from include.documents.edits import Created
from include.documents.fields import Document, Shown, Text
from include.documents.timer import Timer, TimerSettings
from include.store import timers
from include.store.db import DictConnection
from include.store.edits import LARGEST_ID, Row
from include.store.idempotency import Answer
from include.store.timers import TimerStatus
from include.times import utcnow

router = api_router(prefix="/timers", tags=["timers"])

TimerId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The id of the timer.", examples=[17])]
Sort = Annotated[str, paging.sorting("id", "due_at")]
_MOST_AT_ONCE = 1_000


NewTimers = Gathered[tuple[Caller, TimerSettings], Answer]


def new_timers(transactions: Transactions) -> NewTimers:
    """Adds timers that a caller asks for at once in one transaction."""

    def create(asks: Sequence[tuple[Caller, TimerSettings]]) -> list[Answer]:
        caller, first = asks[0]
        with transactions.writing(caller) as db:
            if len(asks) == 1:
                return [_created(documents.create(db, caller, first, utcnow()))]
            made = documents.create_all(db, caller, [settings for _, settings in asks], utcnow())
            return [_created(one) for one in made]

    return Gathered(create, together=lambda ask: ask[0])


AskedTimers = Gathered[tuple[str | None, int], Row | None]


def asked_timers(transactions: Transactions) -> AskedTimers:
    """Looks up timers, by owner (None: whosever) and id, that are asked for at once; None for one that is not there."""

    def look_up(asks: Sequence[tuple[str | None, int]]) -> list[Row | None]:
        with transactions.reading() as db:
            rows = timers.get_all(db, [timer_id for _, timer_id in asks], asks[0][0])
        known = {row["id"]: row for row in rows}
        return [known.get(timer_id) for _, timer_id in asks]

    return Gathered(look_up, together=lambda ask: ask[0])


async def _new_timers(request: Request) -> NewTimers:
    found: NewTimers = request.app.state.new_timers
    return found


async def _asked_timers(request: Request) -> AskedTimers:
    found: AskedTimers = request.app.state.asked_timers
    return found


AskedTimersDep = Annotated[AskedTimers, Depends(_asked_timers)]
NewTimersDep = Annotated[NewTimers, Depends(_new_timers)]


class ManyTimers(Document):
    """Timers to add."""

    timers: list[TimerSettings] = Field(min_length=1, max_length=_MOST_AT_ONCE)


class AddedTimers(Shown):
    """The ids of the timers, in the order of the request."""

    ids: list[int]


@router.post("", status_code=201, response_model=Timer, responses={200: {"model": Timer}, **problems(409, 422)})
async def create_timer(
    settings: TimerSettings, sent: Sent, transactions: Db, new_timers: NewTimersDep, threads: ThreadsDep
) -> Response:
    """Add a timer: a webhook that is sent once, within milliseconds of its instant and never before.

    With an `external_id` that you have used before, and the same settings, it is answered (200) and not added again.
    """
    if sent.key is None:
        return response(await new_timers.ask((sent.caller, settings)))

    def work(db: DictConnection) -> Answer:
        return _created(documents.create(db, sent.caller, settings, utcnow()))

    return await threads.run(lambda: transactions.once(sent, work))


@router.post("/bulk", status_code=201, response_model=AddedTimers, responses=problems(409, 422))
def create_timers(many: ManyTimers, sent: Sent, transactions: Db) -> Response:
    """Add up to 1000 timers: all of them, or, if one is refused, none.

    Those with an `external_id` that you have used before, and the same settings, are answered and not added again.
    """

    def work(db: DictConnection) -> Answer:
        made = documents.create_all(db, sent.caller, many.timers, utcnow())
        return answer(AddedTimers, {"ids": [one.row["id"] for one in made]}, 201)

    return transactions.once(sent, work)


@router.get("", response_model=Page[Timer], responses=problems(400, 422))
def list_timers(
    request: Request,
    caller: CallerDep,
    transactions: Db,
    limit: Limit = 50,
    cursor: Cursor = None,
    sort: Sort = "id",
    status: TimerStatus | None = None,
    owner: OwnerFilter = None,
    external_id: Annotated[Text | None, Query(max_length=200)] = None,
) -> Response:
    """The timers that you may see, a page at a time. There may be millions: they are not counted, `total` is null."""
    filters = {"status": status, "external_id": external_id}
    wanted = paging.search_for(caller.sees_of(owner), sort=sort, limit=limit, cursor=cursor, filters=filters)
    with transactions.reading() as db:
        rows = timers.search(db, wanted)
    now = utcnow()
    page = paging.page_of(rows, sort=sort, limit=limit, show=lambda row: documents.document(row, now))
    return response(answer(Page[Timer], page), paging.link(request, page["next"]))


@router.get("/{timer_id}", response_model=Timer, responses=problems(404))
async def get_timer(timer_id: TimerId, caller: CallerDep, asked: AskedTimersDep) -> Response:
    """One timer: the time that is left, and every attempt."""
    row = await asked.ask((caller.sees, timer_id))
    return response(_answer(documents.found(row, timer_id)))


@router.post("/{timer_id}/cancel", response_model=Timer, responses=problems(404, 409))
def cancel_timer(timer_id: TimerId, sent: Sent, transactions: Db) -> Response:
    """Cancel a timer that is not being sent yet, also one that waits for a retry; 409 if it is too late."""
    return transactions.once(sent, lambda db: _answer(documents.cancel(db, sent.caller, timer_id)))


@router.delete("/{timer_id}", status_code=204, responses=problems(404, 409))
def delete_timer(timer_id: TimerId, caller: CallerDep, transactions: Db) -> Response:
    """The same as to cancel it: the timer stays in the list, and says that it was cancelled."""
    with transactions.writing(caller) as db:
        documents.cancel(db, caller, timer_id)
    return response(empty())


def _created(made: Created) -> Answer:
    return _answer(made.row, 201 if made.made else 200, f"/millrace/api/v1/timers/{made.row['id']}")


def _answer(row: Row, status: int = 200, location: str | None = None) -> Answer:
    return answer(Timer, documents.document(row, utcnow()), status, location=location)
