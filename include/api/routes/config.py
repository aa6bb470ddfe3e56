"""/config: all that somebody has as one document per owner, and how it becomes what such documents say."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query
from fastapi.responses import JSONResponse, Response
from pydantic import Field, PlainValidator

from include.api.answer import answer, response
from include.api.login import CallerDep
from include.api.problem import problems
from include.api.route import LargeRoute
from include.api.sent import Sent
from include.api.transactions import Db
from include.documents.configuration.apply import apply, rehearse
from include.documents.configuration.document import Configuration
from include.documents.configuration.schema import schema
from include.documents.configuration.snapshot import snapshot
from include.documents.fields import Document, Owner, Shown
from include.documents.invalid import parse
from include.store.db import DictConnection
from include.store.idempotency import Answer

router = APIRouter(prefix="/config", tags=["config"], route_class=LargeRoute)

_MOST_OWNERS = 1000


class Documents(Document):
    """One document per owner."""

    documents: list[Configuration] = Field(max_length=_MOST_OWNERS)


class Wish(Documents):
    """How rows are to be."""

    prune: bool = Field(False, description="Delete rows of these owners that no document has.")


class Application(Wish):
    """How rows are to be, and what may be done for it."""

    replace: bool = Field(
        False, description="Delete rows and add them anew, where another kind or connector makes that necessary."
    )
    fingerprint: str | None = Field(
        None, max_length=100, description="That of a plan: 409 if it is not what would be done any more."
    )


def _unread(body: Any) -> Any:
    """The body as JSON. To read a whole configuration takes long: the route does so, in its thread."""
    return body


UnreadWish = Annotated[Any, Body(), PlainValidator(_unread, json_schema_input_type=Wish)]
UnreadApplication = Annotated[Any, Body(), PlainValidator(_unread, json_schema_input_type=Application)]


class Values(Shown):
    """What a column is, and what it is to be."""

    old: Any = None
    new: Any = None


class PlannedStep(Shown):
    """One row that is not as it is to be."""

    section: Literal["budgets", "notify", "connectors", "jobs", "workflows"]
    action: Literal["add", "change", "replace", "delete"]
    owner: str | None
    key: str
    id: int | None = Field(description="The row's id; null for one that is to be added.")
    columns: dict[str, Values]
    records: int | None = Field(description="How many records are deleted with a connector.")


class PlanShown(Shown):
    """What is to be done, and how many rows are `unchanged`."""

    fingerprint: str = Field(description="Send it to `/config/apply`, so that this is done and nothing else.")
    add: int
    change: int
    replace: int
    delete: int
    unchanged: int
    steps: list[PlannedStep]


@router.get("", response_model=Documents, responses=problems(422))
def export_configuration(
    caller: CallerDep,
    transactions: Db,
    owner: Annotated[list[Owner] | None, Query(max_length=_MOST_OWNERS, description="Only of these.")] = None,
) -> Response:
    """All jobs, connectors and workflows that you may see, and whom their owners have told; for admins, the budgets.

    What is as by default is left out. `/config/apply` takes it as it is.
    """
    with transactions.reading() as db:
        documents = snapshot(db, caller, owner or ())
    return JSONResponse({"documents": documents})


@router.get("/schema", response_model=dict[str, Any], responses=problems())
def configuration_schema(_: CallerDep) -> Response:
    """The JSON Schema of one document, for editors."""
    return JSONResponse(schema())


@router.post("/plan", response_model=PlanShown, responses=problems(403, 409, 422))
def plan_configuration(body: UnreadWish, caller: CallerDep, transactions: Db) -> Response:
    """What applying the documents would do, if it may `replace`; nothing is changed.

    It is done and undone: what applying would refuse is refused here.
    """
    wish = parse(Wish, body)
    with transactions.writing(caller) as db:
        plan = rehearse(db, caller, wish.documents, prune=wish.prune)
    return response(answer(PlanShown, plan.shown()))


@router.post("/apply", response_model=PlanShown, responses=problems(403, 409, 422))
def apply_configuration(body: UnreadApplication, sent: Sent, transactions: Db) -> Response:
    """Make the rows as the documents say, all of them or none, and answer what was done.

    A row is found by its key, which is its `external_id`; one that has none, by its name. Columns that are left out get
    their default.
    """
    wish = parse(Application, body)

    def work(db: DictConnection) -> Answer:
        done = apply(
            db,
            sent.caller,
            wish.documents,
            prune=wish.prune,
            replace=wish.replace,
            fingerprint=wish.fingerprint,
        )
        return answer(PlanShown, done.shown())

    return transactions.once(sent, work)
