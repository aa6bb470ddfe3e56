"""The form of a timer: when, and what is sent then."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from include.documents.faults import faults
from include.documents.timer import TimerSettings
from include.errors import ConfigError
from include.time_zones import zone_named
from include.ui import schema_form, wall_time
from include.ui.api import ProblemError
from include.ui.form import Form

PARTS = ("hours", "minutes", "seconds")
LABELS = {"due_at": "At"}
_WHEN = (*PARTS, "due_at")
_NOT_COPIED = ("external_id", "owner")
_OF_ADMINS = ("owner",)
_WHOLE = re.compile(r"\d{1,10}", re.ASCII)
_UNREADABLE = 422
_WHOLE_SCHEMA = TimerSettings.model_json_schema()


def shown(
    like: Mapping[str, Any] | None, form: Form | None, errors: Mapping[str, str], *, is_admin: bool
) -> dict[str, Any]:
    """What `timer_form.html` draws: a form that came back, or one for a timer that is `like` another, or a new one."""
    schema = _schema(is_admin=is_admin)
    values = {
        name: (like or {})[name] for name in schema["properties"] if name in (like or {}) and name not in _NOT_COPIED
    }
    zone = "UTC" if form is None else form.get("timezone", "UTC")
    return {
        "when": "in" if form is None else form.get("when", "in"),
        "parts": {name: "" if form is None else form.get(name, "") for name in PARTS},
        "due_at": wall_time.shown("due_at", None, zone, form),
        "timezone": zone,
        "fields": schema_form.drawn(schema, values, "", errors, form),
        "errors": errors,
    }


def sent(form: Form, *, is_admin: bool) -> dict[str, Any]:
    """The timer as the API takes it; `ProblemError` (422) says where something cannot be read.

    It says so as the API does, `body.body`: a timer has a field of that name, and `body` alone is the whole.
    """
    try:
        return schema_form.all_read(
            lambda: _at(form) if form.get("when") == "at" else _in(form),
            lambda: schema_form.sent(form, _schema(is_admin=is_admin), ""),
        )
    except ProblemError as problem:
        wrong = [(f"body.{place}", said) for place, said in problem.errors]
        raise schema_form.unreadable(wrong, problem.document) from None


def all_wrong(problem: ProblemError, settings: Mapping[str, Any]) -> ProblemError:
    """The refusal of the settings, or else of what could not be read, with all else that is wrong with them."""
    if problem.status != _UNREADABLE or not problem.errors:
        return problem
    when = {} if settings else {"hours": 1}  # where it could not be read
    found = faults(TimerSettings, settings or {**when, **problem.document})
    return schema_form.with_faults(problem, found)


def _schema(*, is_admin: bool) -> dict[str, Any]:
    """A timer's settings but for when it is due."""
    hidden = _WHEN if is_admin else (*_WHEN, *_OF_ADMINS)
    known = _WHOLE_SCHEMA["properties"]
    # What people fill in first is drawn first.
    order = sorted(known, key=lambda name: name.startswith(("retr", "no_retry")))
    return {**_WHOLE_SCHEMA, "properties": {name: known[name] for name in order if name not in hidden}}


def _in(form: Form) -> dict[str, Any]:
    typed = {name: form.text(name) or "0" for name in PARTS}
    wrong = [
        (name, "write a whole number, 0 or more") for name, number in typed.items() if not _WHOLE.fullmatch(number)
    ]
    found = {name: int(number) for name, number in typed.items()} if not wrong else {}
    if not wrong and not any(found.values()):
        wrong.append(("hours", "write how long from now, in one of these at least"))
    if wrong:
        raise schema_form.unreadable(wrong)
    return found


def _at(form: Form) -> dict[str, Any]:
    try:
        zone = zone_named(form.get("timezone", "UTC").strip())
    except ConfigError as error:
        raise schema_form.unreadable([("timezone", str(error))]) from None
    try:
        instant = wall_time.sent(form, "due_at", zone)
    except ValueError as error:
        raise schema_form.unreadable([("due_at", str(error))]) from None
    if instant is None:
        raise schema_form.unreadable([("due_at", "write a date and a time to come")])
    return {"due_at": instant}
