"""/owners, /grants, /budgets and /me: what owners may have, as admins lay it down, and whom they have told."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query, Request
from fastapi.responses import Response
from pydantic import AfterValidator

from include.api import paging
from include.api.answer import answer, empty, response
from include.api.login import CallerDep
from include.api.paging import Cursor, Limit, Page
from include.api.problem import problems
from include.api.route import api_router
from include.api.routes import budgets
from include.api.sent import Sent
from include.api.transactions import Db
from include.documents import owner as owners
from include.documents.caller import Caller
from include.documents.configuration.document import Notify
from include.documents.fields import Text, storable
from include.documents.owner import (
    EVERYBODY,
    Grant,
    GrantSettings,
    Me,
    OwnerDocument,
    OwnerNotify,
    QuotaSettings,
    RevokedGrant,
    ShownQuota,
)
from include.errors import RefusedError
from include.store import access, notices
from include.store.access import Quota
from include.store.db import DictConnection
from include.store.edits import LARGEST_ID
from include.store.idempotency import Answer

router = api_router(tags=["owners"])
router.include_router(budgets.router)

OwnerName = Annotated[
    str,
    Path(min_length=1, max_length=200, description="An owner, as in the rows; `*` is everybody.", examples=["ann"]),
    AfterValidator(storable),
]
GrantId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The id of the grant.", examples=[42])]


@router.get("/me", response_model=Me, responses=problems())
def get_me(caller: CallerDep, transactions: Db) -> Response:
    """Who you are here, what you have, and what you may have."""
    with transactions.reading() as db:
        document = owners.owner_document(db, caller.name)
    who = {"name": caller.name, "may_write": caller.may_write, "is_admin": caller.is_admin}
    return response(answer(Me, {**document, **who}))


@router.get("/owners/{owner}", response_model=OwnerDocument, responses=problems())
def get_owner(owner: OwnerName, caller: CallerDep, transactions: Db) -> Response:
    """What an owner has and may have; for admins. Nobody needs to be added before he is one."""
    caller.check_admin()
    with transactions.reading() as db:
        document = owners.owner_document(db, owner)
    return response(answer(OwnerDocument, document))


@router.put("/owners/{owner}/quota", response_model=ShownQuota, responses=problems(422))
def set_quota(owner: OwnerName, limits: QuotaSettings, caller: CallerDep, transactions: Db) -> Response:
    """Give an owner a quota of his own, or, as `*`, everybody who has none; for admins. What is left out has no limit.

    What an owner has already, he keeps.
    """
    caller.check_admin()
    with transactions.writing(caller) as db:
        access.set_quota(db, owner, Quota(**limits.model_dump()))
        made = answer(ShownQuota, owners.quota_document(db, owner))
    return response(made)


@router.delete("/owners/{owner}/quota", status_code=204, responses=problems(404, 422))
def unset_quota(owner: OwnerName, caller: CallerDep, transactions: Db) -> Response:
    """Have the quota of everybody hold for an owner again; for admins."""
    caller.check_admin()
    if owner == EVERYBODY:
        raise RefusedError(422, "the quota of everybody can be changed, and not removed: null is no limit")
    with transactions.writing(caller) as db:
        if not access.unset_quota(db, owner):
            raise RefusedError(404, f"owner {owner!r} has no quota of his own")
    return response(empty())


@router.get("/grants", response_model=Page[Grant], responses=problems(400, 422))
def list_grants(
    request: Request,
    caller: CallerDep,
    transactions: Db,
    limit: Limit = 50,
    cursor: Cursor = None,
    owner: Annotated[Text | None, Query(max_length=200, description="Of this owner; `*` is everybody.")] = None,
    conn_id: Annotated[Text | None, Query(max_length=250)] = None,
) -> Response:
    """Which Airflow connections owners may name in rows; for admins."""
    caller.check_admin()
    filters = {"of": owner, "conn_id": conn_id}
    wanted = paging.search_for(None, sort="id", limit=limit, cursor=cursor, filters=filters)
    with transactions.reading() as db:
        rows = access.search_grants(db, wanted)
    page = paging.page_of(rows, sort="id", limit=limit, show=dict)
    return response(answer(Page[Grant], page), paging.link(request, page["next"]))


@router.post("/grants", status_code=201, response_model=Grant, responses={200: {"model": Grant}, **problems(422)})
def grant_connection(settings: GrantSettings, sent: Sent, transactions: Db) -> Response:
    """Let an owner, or `*`, name a connection; for admins. If he may already, that is answered (200)."""
    sent.caller.check_admin()

    def work(db: DictConnection) -> Answer:
        row, made = access.grant(db, settings.owner, settings.conn_id)
        return answer(Grant, row, 201 if made else 200)

    return transactions.once(sent, work)


@router.delete("/grants/{grant_id}", response_model=RevokedGrant, responses=problems(404))
def revoke_connection(grant_id: GrantId, caller: CallerDep, transactions: Db) -> Response:
    """Take a grant back; for admins. Rows that use the connection go on using it: the answer says which they are."""
    caller.check_admin()
    with transactions.writing(caller) as db:
        row = access.revoke(db, grant_id)
        if row is None:
            raise RefusedError(404, f"there is no grant with id {grant_id}")
        used = owners.still_in_use(db, row)
    going_on = f"{len(used)} rows go on using it, until they are changed or paused" if used else "no row uses it"
    return response(answer(RevokedGrant, {"grant": row, "still_in_use": used, "detail": going_on}))


@router.get("/owners/{owner}/notify", response_model=OwnerNotify, responses=problems(404))
def get_notify(owner: OwnerName, caller: CallerDep, transactions: Db) -> Response:
    """Whom an owner has told of timers, and of jobs that do not say it; your own, unless you are an admin."""
    _check_own(caller, owner)
    with transactions.reading() as db:
        row = notices.owner(db, owner)
    if row is None:
        raise _nobody(owner)
    return response(answer(OwnerNotify, row))


@router.put("/owners/{owner}/notify", response_model=OwnerNotify, responses=problems(422))
def set_notify(owner: OwnerName, notify: Notify, caller: CallerDep, transactions: Db) -> Response:
    """Say whom an owner has told, in place of what was said; your own, unless you are an admin."""
    caller.check_writes()
    _check_own(caller, owner)
    with transactions.writing(caller) as db:
        row = owners.set_notify(db, caller, owner, _said(notify))
    return response(answer(OwnerNotify, row))


@router.delete("/owners/{owner}/notify", status_code=204, responses=problems(404))
def unset_notify(owner: OwnerName, caller: CallerDep, transactions: Db) -> Response:
    """Have an owner told nothing more, but of jobs that say it themselves; your own, unless you are an admin."""
    caller.check_writes()
    _check_own(caller, owner)
    with transactions.writing(caller) as db:
        if not notices.unset_owner(db, owner):
            raise _nobody(owner)
    return response(empty())


def _said(notify: Notify) -> dict[str, Any]:
    return notify.model_dump(exclude_unset=True, exclude_none=True)


def _check_own(caller: Caller, owner: str) -> None:
    if owner != caller.name:
        caller.check_admin()


def _nobody(owner: str) -> RefusedError:
    return RefusedError(404, f"owner {owner!r} has nobody told")
