"""The form of a job, a connector or a workflow: the fields it has, and the settings that it means, filled in."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from include.documents.caller import Caller
from include.documents.faults import Judge, faults
from include.documents.fields import Document
from include.documents.same import same
from include.ui import schedule_form, schema_form
from include.ui.api import ProblemError
from include.ui.form import Form
from include.ui.schema_form import Field

Row = Mapping[str, Any]
Errors = Mapping[str, str]
_UNREADABLE = 422
# A schedule is judged before all else: with one that is good for anything, what else is wrong is told, too.
_ANY_TIME = {
    **dict.fromkeys(("cron", "run_at", "starts_at", "ends_at")),
    **{"every": 86400.0, "timezone": "UTC", "jitter": 0, "every_mode": "fixed_rate"},
}
_SWITCHED = ("is_active", "paused_until")  # of a row that is there, by buttons of their own


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A form as far as it is: for the `row` that is there, or else for a new one, which may begin `like` another.

    `form` is what came in, `problem` what is wrong with it, and `changed` what somebody else has changed meanwhile.
    """

    row: Row | None = None
    like: Row = field(default_factory=dict)
    form: Form | None = None
    problem: ProblemError | None = None
    changed: Sequence[Any] | None = None


@dataclass(frozen=True, slots=True)
class RowForm:
    """One form: the `settings` that it fills in, how they are judged, and how they are grouped.

    `code` holds the settings of the kind. What is `always` shown stands before the `groups`, each of which has a title
    and can be folded; `begins` is what a new row begins with, `needed` what this form cannot do without though the API
    can, and `fixed` what does not change once it is there. `unchosen` is said where no kind is chosen; with
    `has_schedule`, it asks as well when the row is due.
    """

    settings: type[Document]
    judge: Judge
    code: str
    always: Sequence[str]
    groups: Mapping[str, Sequence[str]]
    begins: Row
    needed: Sequence[str] = ()
    fixed: Sequence[str] = ()
    unchosen: str = "choose one of them"
    has_schedule: bool = False

    def shown(self, kinds: Mapping[str, Any], caller: Caller, draft: Draft) -> dict[str, Any]:
        """What the page draws: as the form came in, or else as the row is, with what is wrong."""
        form, problem = draft.form, draft.problem
        known = {**self.begins, **draft.like} if draft.row is None else draft.row
        errors = {} if problem is None else schema_form.by_place(problem.errors)
        kind = known.get("kind", "") if form is None else form.get("kind", "")
        always = self._fields(self.always, known, form, errors)
        of_kind = self._kind_fields(_schema_of(kinds, kind), kind, known, form, errors)
        may_set = {title: self._may_set(caller, draft.row, names) for title, names in self.groups.items()}
        typed = {} if form is None or draft.changed is not None else form
        return {
            "kind": kind,
            "kinds": [
                one for one in kinds.values() if caller.is_admin or not one["admins_only"] or one["kind"] == kind
            ],
            "chosen": kinds.get(kind),
            "always": always,
            "of_kind": of_kind,
            "schedule": schedule_form.shown(known, form, errors) if self.has_schedule else None,
            "more": {title: [*self._fields(names, known, form, errors).values()] for title, names in may_set.items()},
            "errors": errors,
            "problems": self._problems(problem, errors, [*always, "kind", *(one.name for one in of_kind)], may_set),
            "changed": draft.changed,
            "revision": typed.get("revision") or (draft.row["revision"] if draft.row else ""),
            "key": typed.get("key") or secrets.token_urlsafe(16),
        }

    def sent(self, form: Form, kinds: Mapping[str, Any], caller: Caller, row: Row | None) -> dict[str, Any]:
        """The settings, as the API takes them; what is as it was shown for `row` is as it was.

        `ProblemError` names all that cannot be read, and refuses settings of another kind than the one that is chosen.
        """
        names = [*self.always, *(name for group in self.groups.values() for name in group)]
        kept = {} if row is None else {name: row[name] for name in (*_SWITCHED, *self.fixed)}
        may_set = [name for name in self._may_set(caller, row, names) if name not in kept]
        return kept | schema_form.all_read(
            lambda: self.part_sent(form, kinds, row, may_set),
            lambda: self._check_needed(form, may_set),
            lambda: schedule_form.sent(form) if self.has_schedule else {},
        )

    def all_wrong(self, problem: ProblemError, settings: Row) -> ProblemError:
        """The refusal of the settings, or else of what could not be read, with all else that is wrong with them."""
        if problem.status != _UNREADABLE or not problem.errors:
            return problem
        document = settings or problem.document
        found = faults(self.settings, document, self.judge)
        any_time = {name: value for name, value in _ANY_TIME.items() if name in self.settings.model_fields}
        more = [fault for fault in faults(self.settings, {**document, **any_time}, self.judge) if fault not in found]
        return schema_form.with_faults(problem, [*found, *more])

    def part_sent(self, form: Form, kinds: Mapping[str, Any], row: Row | None, names: Sequence[str]) -> dict[str, Any]:
        """The kind with its settings, and these others; the rest may still be missing."""
        return schema_form.all_read(
            lambda: schema_form.sent(form, self._part(names), "", row),
            lambda: self._of_kind(form, kinds, row),
        )

    def differences(self, settings: Row, row: Row) -> list[tuple[str, Any, Any]]:
        """Where settings differ from the row as it is: what, as it would be, as it is."""
        wanted = self.settings.model_validate(settings).model_dump(mode="json")
        names = [name for name in wanted if name in settings and not same(wanted[name], row[name])]
        return [(schema_form.in_words(name), wanted[name], row[name]) for name in names]

    def _fields(self, names: Sequence[str], known: Row, form: Form | None, errors: Errors) -> dict[str, Field]:
        """The fields of these settings, by name."""
        values = {name: known[name] for name in names if name in known}
        return {one.name: one for one in schema_form.drawn(self._part(names), values, "", errors, form)}

    def _problems(
        self, problem: ProblemError | None, errors: Errors, first: Sequence[str], groups: Mapping[str, Sequence[str]]
    ) -> list[tuple[str | None, str]]:
        """What is wrong, one by one, in the order of the fields."""
        if problem is not None and not errors:
            return [(None, problem.detail)]
        labels = schedule_form.LABELS if self.has_schedule else {}
        names = [*first, *labels, *(name for group in groups.values() for name in group)]
        return schema_form.listed(errors, names, labels)

    def _kind_fields(
        self, schema: Mapping[str, Any], kind: str, known: Row, form: Form | None, errors: Errors
    ) -> list[Field]:
        """The fields of a kind; if the row is of another one, with what both have."""
        stored = known.get(self.code, {})
        if known.get("kind") != kind:
            stored = {name: value for name, value in stored.items() if name in schema["properties"]}
        if form is not None and form.get("shown_kind") != kind:
            both = {f"{self.code}.{name}" for name in schema["properties"]}
            form = Form({name: form.of(name) for name in form if name in both})
        return schema_form.drawn(schema, stored, self.code, errors, form)

    def _of_kind(self, form: Form, kinds: Mapping[str, Any], row: Row | None) -> dict[str, Any]:
        kind = form.get("kind", "")
        if not kind:
            raise schema_form.unreadable([("kind", self.unchosen)])
        if kind != form.get("shown_kind"):
            raise schema_form.unreadable([("kind", f"these are the settings of {kind}: look at them first")])
        before = row[self.code] if row is not None and row["kind"] == kind else {}
        try:
            return {"kind": kind, self.code: schema_form.sent(form, _schema_of(kinds, kind), self.code, before)}
        except ProblemError as problem:
            raise schema_form.unreadable(problem.errors, {"kind": kind, self.code: problem.document}) from None

    def _check_needed(self, form: Form, names: Sequence[str]) -> dict[str, Any]:
        if missing := [(name, "choose one") for name in self.needed if name in names and not form.text(name)]:
            raise schema_form.unreadable(missing)
        return {}

    def _may_set(self, caller: Caller, row: Row | None, names: Sequence[str]) -> list[str]:
        hidden = {*(() if caller.is_admin else ("owner",)), *(() if row is None else _SWITCHED)}
        return [name for name in names if name not in hidden]

    def _part(self, names: Sequence[str]) -> dict[str, Any]:
        """The schema of the settings, as far as they have these names."""
        whole = _schema(self.settings)
        properties = {name: whole["properties"][name] for name in names}
        required = {*whole["required"], *self.needed}
        return {"properties": properties, "required": [name for name in names if name in required]}


@cache
def _schema(settings: type[Document]) -> dict[str, Any]:
    return settings.model_json_schema()


def _schema_of(kinds: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The settings of a kind; of one that there is not, none."""
    return kinds[kind]["json_schema"] if kind in kinds else {"properties": {}}
