"""What the form of a job shows, and the settings that it means once it is filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from include.documents.caller import Caller
from include.documents.job import JobSettings
from include.documents.same import same
from include.ui import schedule_form, schema_form
from include.ui.api import ProblemError
from include.ui.form import Form
from include.ui.schema_form import Field

_SCHEMA = JobSettings.model_json_schema()
_NAME = ("name",)
_MORE = {
    "Attempts and retries": (
        *("timeout", "retries", "retry_delay", "retry_backoff", "retry_max_delay", "retry_jitter", "no_retry_on"),
        "delivery",
    ),
    "Occurrences that are late, or overlap": ("overlap", "misfire", "max_lateness", "jitter", "every_mode"),
    "After failures": ("disable_after", "half_open", "probe_every", "notify"),
    "Row": ("external_id", "owner", "is_active"),
}
_SWITCHED = ("is_active", "paused_until")  # of a job that is there, by buttons of their own
_NOT_COPIED = ("id", "external_id", "owner", *_SWITCHED)
_LONGEST_NAME = 200


def name_field(job: Mapping[str, Any] | None, form: Form | None, errors: Mapping[str, str]) -> Field:
    """The field for the name."""
    [field] = _drawn(_NAME, job, form, errors)
    return field


def payload_fields(
    kinds: Mapping[str, Any], kind: str, job: Mapping[str, Any] | None, form: Form | None, errors: Mapping[str, str]
) -> list[Field]:
    """The fields of a kind; if the job is of another one, with what both have."""
    schema = _schema_of(kinds, kind)
    stored = job["payload"] if job else {}
    if job and job["kind"] != kind:
        stored = {name: value for name, value in stored.items() if name in schema["properties"]}
    return schema_form.drawn(schema, stored, "payload", errors, form)


def more_fields(
    caller: Caller, job: Mapping[str, Any] | None, form: Form | None, errors: Mapping[str, str]
) -> dict[str, list[Field]]:
    """The settings that mostly stay as they are, in groups."""
    return {title: _drawn(_may_set(caller, job, names), job, form, errors) for title, names in _MORE.items()}


def settings_of(
    form: Form, kinds: Mapping[str, Any], caller: Caller, job: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The settings, as the API takes them; what is as it was shown for `job` is as it was.

    `ProblemError` names all that cannot be read, and refuses settings of another kind than the one that is chosen.
    """
    names = [*_NAME, *(name for group in _MORE.values() for name in _may_set(caller, job, group))]
    kept = {} if job is None or "id" not in job else {name: job[name] for name in _SWITCHED}
    return kept | schema_form.all_read(
        lambda: schema_form.sent(form, _part(names), "", job),
        lambda: _what_it_does(form, kinds, job),
        lambda: schedule_form.sent(form),
    )


def trial_of(form: Form, kinds: Mapping[str, Any], job: Mapping[str, Any] | None) -> dict[str, Any]:
    """As much of the settings as a trial needs; the rest may still be missing."""
    return schema_form.all_read(
        lambda: schema_form.sent(form, _part(["timeout"]), "", job),
        lambda: _what_it_does(form, kinds, job),
    )


def copied(job: Mapping[str, Any]) -> dict[str, Any]:
    """A job as the beginning of a new one."""
    kept = {name: value for name, value in job.items() if name not in _NOT_COPIED}
    return {**kept, "name": f"Copy of {job['name']}"[:_LONGEST_NAME].strip()}


def errors_of(problem: ProblemError | None) -> dict[str, str]:
    """What is wrong, by field; with no name, what concerns the whole."""
    return {} if problem is None else schema_form.by_place(problem.errors)


def differences(settings: Mapping[str, Any], job: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Where settings differ from the job as it is: what, as it would be, as it is."""
    wanted = JobSettings.model_validate(settings).model_dump(mode="json")
    names = [name for name in wanted if name in settings and not same(wanted[name], job[name])]
    return [(schema_form.in_words(name), wanted[name], job[name]) for name in names]


def _what_it_does(form: Form, kinds: Mapping[str, Any], job: Mapping[str, Any] | None) -> dict[str, Any]:
    kind = form.get("kind", "")
    if not kind:
        raise schema_form.unreadable([("kind", "choose what the job does")])
    if kind != form.get("shown_kind"):
        raise schema_form.unreadable([("kind", f"these are the settings of {kind}: look at them first")])
    before = job["payload"] if job is not None and job["kind"] == kind else {}
    return {"kind": kind, "payload": schema_form.sent(form, _schema_of(kinds, kind), "payload", before)}


def _schema_of(kinds: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The settings of a kind; of one that there is not, none."""
    return kinds[kind]["json_schema"] if kind in kinds else {"properties": {}}


def _may_set(caller: Caller, job: Mapping[str, Any] | None, names: Sequence[str]) -> list[str]:
    hidden = {*(() if caller.is_admin else ("owner",)), *(_SWITCHED if job is not None and "id" in job else ())}
    return [name for name in names if name not in hidden]


def _drawn(
    names: Sequence[str], job: Mapping[str, Any] | None, form: Form | None, errors: Mapping[str, str]
) -> list[Field]:
    values = {name: job[name] for name in names if name in job} if job else {}
    return schema_form.drawn(_part(names), values, "", errors, form)


def _part(names: Sequence[str]) -> dict[str, Any]:
    """The settings of a job, as far as they have these names."""
    properties = {name: _SCHEMA["properties"][name] for name in names}
    return {"properties": properties, "required": [name for name in names if name in _SCHEMA["required"]]}
