"""The form of a connector or of a workflow: the fields it has, and the settings that it means once it is filled in."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from include.documents.caller import Caller
from include.documents.fields import Document
from include.documents.same import same
from include.ui import schema_form
from include.ui.api import ProblemError
from include.ui.form import Form
from include.ui.schema_form import Field

Row = Mapping[str, Any]
Errors = Mapping[str, str]
_SWITCHED = ("is_active", "paused_until")  # of a row that is there, by buttons of their own


@dataclass(frozen=True, slots=True)
class RowForm:
    """One form: the `settings` that it fills in, and how they are grouped.

    `code` holds the settings of the kind. What is `always` shown stands before the `groups`, each of which has a title
    and can be folded; `begins` is what a new row begins with, `needed` what this form cannot do without though the API
    can, and `fixed` what does not change once it is there.
    """

    settings: type[Document]
    code: str
    always: Sequence[str]
    groups: Mapping[str, Sequence[str]]
    begins: Row
    needed: Sequence[str] = ()
    fixed: Sequence[str] = ()

    def shown(
        self,
        kinds: Mapping[str, Any],
        caller: Caller,
        *,
        row: Row | None,
        form: Form | None,
        kind: str,
        problem: ProblemError | None,
        changed: Sequence[Any] | None,
    ) -> dict[str, Any]:
        """What the page draws: as the form came in, or else as the row is, with what is wrong."""
        errors = {} if problem is None else schema_form.by_place(problem.errors)
        kind = form.get("kind", "") if form is not None else row["kind"] if row else kind
        always = self.fields(self.always, row, form, errors)
        of_kind = self._kind_fields(_schema_of(kinds, kind), kind, row, form, errors)
        more = self._more(caller, row, form, errors)
        names = [*always, "kind", *(field.name for group in (of_kind, *more.values()) for field in group)]
        typed = {} if form is None or changed is not None else form
        return {
            "kind": kind,
            "kinds": [
                one for one in kinds.values() if one["kind"] == kind or caller.is_admin or not one["admins_only"]
            ],
            "chosen": kinds.get(kind),
            "always": always,
            "of_kind": of_kind,
            "more": more,
            "errors": errors,
            "problems": [(None, problem.detail)] if problem and not errors else schema_form.listed(errors, names),
            "changed": changed,
            "revision": typed.get("revision") or (row["revision"] if row else ""),
            "key": typed.get("key") or secrets.token_urlsafe(16),
        }

    def fields(self, names: Sequence[str], row: Row | None, form: Form | None, errors: Errors) -> dict[str, Field]:
        """The fields of these settings, by name."""
        known = self.begins if row is None else row
        values = {name: known[name] for name in names if name in known}
        return {field.name: field for field in schema_form.drawn(self._part(names), values, "", errors, form)}

    def sent(self, form: Form, kinds: Mapping[str, Any], caller: Caller, row: Row | None) -> dict[str, Any]:
        """The settings, as the API takes them; what is as it was shown for `row` is as it was.

        `ProblemError` names all that cannot be read, and refuses settings of another kind than the one that is chosen.
        """
        names = [*self.always, *(name for group in self.groups.values() for name in group)]
        kept = {} if row is None else {name: row[name] for name in (*_SWITCHED, *self.fixed)}
        may_set = [name for name in self._may_set(caller, row, names) if name not in kept]
        return kept | schema_form.all_read(
            lambda: schema_form.sent(form, self._part(may_set), "", row),
            lambda: self._check_needed(form, may_set),
            lambda: self._of_kind(form, kinds, row),
        )

    def differences(self, settings: Row, row: Row) -> list[tuple[str, Any, Any]]:
        """Where settings differ from the row as it is: what, as it would be, as it is."""
        wanted = self.settings.model_validate(settings).model_dump(mode="json")
        names = [name for name in wanted if name in settings and not same(wanted[name], row[name])]
        return [(schema_form.in_words(name), wanted[name], row[name]) for name in names]

    def _more(self, caller: Caller, row: Row | None, form: Form | None, errors: Errors) -> dict[str, list[Field]]:
        """The fields that mostly stay as they are, in groups."""
        return {
            title: list(self.fields(self._may_set(caller, row, names), row, form, errors).values())
            for title, names in self.groups.items()
        }

    def _kind_fields(
        self, schema: Mapping[str, Any], kind: str, row: Row | None, form: Form | None, errors: Errors
    ) -> list[Field]:
        """The fields of a kind; if the row is of another one, with what both have."""
        stored = row[self.code] if row else {}
        if row and row["kind"] != kind:
            stored = {name: value for name, value in stored.items() if name in schema["properties"]}
        if form is not None and form.get("shown_kind") != kind:
            known = {f"{self.code}.{name}" for name in schema["properties"]}
            form = Form({name: form.of(name) for name in form if name in known})
        return schema_form.drawn(schema, stored, self.code, errors, form)

    def _of_kind(self, form: Form, kinds: Mapping[str, Any], row: Row | None) -> dict[str, Any]:
        kind = form.get("kind", "")
        if not kind:
            raise schema_form.unreadable([("kind", "choose one of them")])
        if kind != form.get("shown_kind"):
            raise schema_form.unreadable([("kind", f"these are the settings of {kind}: look at them first")])
        before = row[self.code] if row is not None and row["kind"] == kind else {}
        return {"kind": kind, self.code: schema_form.sent(form, _schema_of(kinds, kind), self.code, before)}

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
