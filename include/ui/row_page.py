"""The page that the form of a job, a connector or a workflow is on, and what becomes of the form once it is sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from include.documents.caller import Caller
from include.ui import schema_form
from include.ui.api import Api, ProblemError
from include.ui.form import Form
from include.ui.page import done, draw
from include.ui.row_form import Draft, RowForm

Drawn = Mapping[str, Any]
_NOT_TO_MEND = frozenset({401, 404})
_CHANGED_MEANWHILE = 412
_UNREADABLE = 422


async def _nothing(api: Api, draft: Draft, drawn: Drawn) -> Drawn:
    return {}


@dataclass(frozen=True, slots=True)
class RowPage:
    """The page of one form: `noun` is what it makes, and names its template and its paths.

    `kinds` finds what there is to choose from, by name, and `besides` what else the template draws.
    """

    noun: str
    form: RowForm
    kinds: Callable[[Api], Awaitable[Mapping[str, Any]]]
    besides: Callable[[Api, Draft, Drawn], Awaitable[Drawn]] = _nothing

    async def new(self, request: Request, api: Api, caller: Caller, **like: Any) -> Response:
        """A form for a new row, which begins like that."""
        caller.check_writes()
        return await self.draw(request, api, caller, Draft(like=like))

    async def edit(self, request: Request, api: Api, caller: Caller, row_id: int) -> Response:
        """The form with the settings of a row."""
        caller.check_writes()
        return await self.draw(request, api, caller, Draft(row=await api.get(f"/{self.noun}s/{row_id}")))

    async def create(self, request: Request, api: Api, caller: Caller, form: Form) -> Response:
        """Add the row; or show the form again, with what is wrong, or with the settings of another kind."""
        caller.check_writes()
        draft = Draft(form=form)
        if form.get("do") == "show":
            return await self.draw(request, api, caller, draft)
        settings: dict[str, Any] = {}
        try:
            settings = self.form.sent(form, await self.kinds(api), caller, None)
            row = await api.post(f"/{self.noun}s", settings, key=form.text("key"))
        except ProblemError as problem:
            wrong = await self._all_wrong(api, caller, problem, settings, None)
            return await self.draw(request, api, caller, replace(draft, problem=wrong))
        return done(request, f"{row['name']} is created.", f"/{self.noun}s/{row['id']}")

    async def save(self, request: Request, api: Api, caller: Caller, form: Form, row_id: int) -> Response:
        """Save the row, unless somebody has changed it since it was shown; or show the form again, as for a new one."""
        caller.check_writes()
        path = f"/{self.noun}s/{row_id}"
        row = await api.get(path)
        draft = Draft(row=row, form=form)
        if form.get("do") == "show":
            return await self.draw(request, api, caller, draft)
        settings: dict[str, Any] = {}
        known = {"if-match": f'"{form.text("revision") or 0}"'}
        try:
            settings = self.form.sent(form, await self.kinds(api), caller, row)
            saved = (await api.send("PUT", path, body=settings, headers=known)).document
        except ProblemError as problem:
            changed = self.form.differences(settings, row) if problem.status == _CHANGED_MEANWHILE else None
            wrong = await self._all_wrong(api, caller, problem, settings, row)
            return await self.draw(request, api, caller, replace(draft, problem=wrong, changed=changed))
        return done(request, f"{saved['name']} is saved.", path)

    async def _all_wrong(
        self, api: Api, caller: Caller, problem: ProblemError, settings: Drawn, row: Drawn | None
    ) -> ProblemError:
        """The refusal with all else that is wrong; the API finds a name taken only once nothing else is."""
        wrong = self.form.all_wrong(problem, settings)
        known = {**(row or {}), **(settings or problem.document)}
        name, owner = known.get("name"), known.get("owner") or caller.name
        is_judged = not {"name", "owner"}.isdisjoint(schema_form.by_place(wrong.errors))
        if problem.status != _UNREADABLE or is_judged or not name:
            return wrong
        others = (await api.get(f"/{self.noun}s", name=name, owner=owner, limit=1))["items"]
        if all(row is not None and other["id"] == row["id"] for other in others):
            return wrong
        said = f"this owner has a {self.noun} with this name already; choose another name, or change that one"
        return schema_form.with_faults(wrong, [("name", said)])

    async def draw(
        self,
        request: Request,
        api: Api,
        caller: Caller,
        draft: Draft,
        *,
        tried: Mapping[str, Any] | None = None,
        is_tried: bool = False,
    ) -> Response:
        """The form as far as it is; with what came of it, if it `is_tried` instead of saved."""
        if draft.problem is not None and draft.problem.status in _NOT_TO_MEND:
            raise draft.problem
        drawn = self.form.shown(await self.kinds(api), caller, draft)
        return draw(
            request,
            f"{self.noun}_form.html",
            draft.problem.status if draft.problem else 200,
            **drawn,
            **await self.besides(api, draft, drawn),
            row=draft.row,
            to=f"/{self.noun}s/{draft.row['id']}/edit" if draft.row else f"/{self.noun}s/new",
            tried=tried,
            is_tried=is_tried,
            connections=[one["conn_id"] for one in (await api.get("/me"))["connections"]],
        )
