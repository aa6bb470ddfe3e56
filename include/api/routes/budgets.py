"""/budgets: limits on requests that connectors share, as admins lay them down."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Request
from fastapi.responses import Response
from pydantic import AfterValidator

from include.api import paging
from include.api.answer import answer, empty, response
from include.api.login import CallerDep
from include.api.paging import Cursor, Limit, Page
from include.api.problem import problems
from include.api.route import api_router
from include.api.transactions import Db
from include.documents.configuration.document import Budget
from include.documents.fields import Name, storable
from include.documents.owner import BudgetDocument
from include.errors import RefusedError
from include.store import budgets

router = api_router(prefix="/budgets", tags=["owners"])

_DESCRIBED = Path(max_length=200, description="The name of a budget.", examples=["github"])
BudgetName = Annotated[str, _DESCRIBED, AfterValidator(storable)]


@router.get("", response_model=Page[BudgetDocument], responses=problems(400, 422))
def list_budgets(
    request: Request, caller: CallerDep, transactions: Db, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """The budgets, in the order of their names; for admins."""
    caller.check_admin()
    wanted = paging.search_for(None, sort="name", limit=limit, cursor=cursor)
    with transactions.reading() as db:
        rows = budgets.search(db, wanted)
    page = paging.page_of(rows, sort="name", limit=limit, show=dict)
    return response(answer(Page[BudgetDocument], page), paging.link(request, page["next"]))


@router.get("/{name}", response_model=BudgetDocument, responses=problems(404))
def get_budget(name: BudgetName, caller: CallerDep, transactions: Db) -> Response:
    """One budget; for admins."""
    caller.check_admin()
    with transactions.reading() as db:
        row = budgets.get(db, name)
    if row is None:
        raise _no_such(name)
    return response(answer(BudgetDocument, row))


@router.put("/{name}", response_model=BudgetDocument, responses={201: {"model": BudgetDocument}, **problems(422)})
def set_budget(name: Annotated[Name, _DESCRIBED], budget: Budget, caller: CallerDep, transactions: Db) -> Response:
    """Add a budget (201), or give it another limit (200), which holds from the next request on; for admins."""
    caller.check_admin()
    with transactions.writing(caller) as db:
        made = budgets.put(db, name, budget.rate_limit)
        row = budgets.get(db, name)
    return response(answer(BudgetDocument, row, 201 if made else 200))


@router.delete("/{name}", status_code=204, responses=problems(404, 409))
def delete_budget(name: BudgetName, caller: CallerDep, transactions: Db) -> Response:
    """Remove a budget that no connector names any more; for admins."""
    caller.check_admin()
    with transactions.writing(caller) as db:
        if not budgets.remove(db, name):
            raise _no_such(name)
    return response(empty())


def _no_such(name: str) -> RefusedError:
    return RefusedError(404, f"there is no budget named {name!r}")
