"""Forms that are drawn from a JSON Schema, and the documents that they mean once they are filled in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from include.ui.api import ProblemError
from include.ui.form import Form
from include.ui.widgets import Shape, read, shape_of, spell, spell_default

# What people mostly fill in, of what may be left out; the rest is below "More settings".
_FORWARD = re.compile(
    "url|method|headers|params|body|json|text|html|channel|conn_id|arguments|parameters|table|query|path|primary_key|"
    "cursor_column|data_selector|paginator|incremental"
)
_WORDS = {
    "url": "URL",
    "html": "HTML",
    "sql": "SQL",
    "json": "JSON",
    "id": "ID",
    "ts": "timestamp",
    "conn": "connection",
}
_LABELS = {"conn_id": "Connection", "cc": "CC", "bcc": "BCC", "is_active": "On duty"}
_UNKNOWN = "_"  # a property of no schema: all that a document has, and its schema does not
_JSON = Shape("json")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form, as `fields.html` draws it; `is_more`: below "More settings"."""

    name: str
    label: str
    widget: str
    value: str = ""
    help: str = ""
    is_required: bool = False
    is_more: bool = False
    is_set: bool = False
    placeholder: str = ""
    options: tuple[tuple[str, str], ...] = ()
    error: str = ""
    mode: str | None = None

    @property
    def id(self) -> str:
        """Its id in the page."""
        return field_id(self.name)


def drawn(
    schema: Mapping[str, Any],
    values: Mapping[str, Any],
    prefix: str,
    errors: Mapping[str, str],
    form: Form | None = None,
) -> list[Field]:
    """A field for each property, with its value and what is wrong with it; what has been typed goes before values."""
    known = schema.get("properties", {})
    required = frozenset(schema.get("required", ()))
    found = []
    for name, inner in known.items():
        shape = shape_of(name, inner, schema)
        typed = None if form is None else form.get(_path(prefix, name))
        found.append(_field(name, inner, shape, values, typed, prefix, name in required, errors))
    unknown, place = _unknown(values, schema), _path(prefix, _UNKNOWN)
    if unknown or (form is not None and form.get(place)):
        text = spell(unknown, _JSON) if form is None else form.get(place, "")
        said = "Settings that are not known here, and keep it from running: take them out."
        error = "; ".join(errors[_path(prefix, name)] for name in unknown if _path(prefix, name) in errors)
        found.append(
            Field(place, "Unknown settings", "json", text, said, is_set=True, error=error or _said(errors, place))
        )
    return found


def sent(
    form: Mapping[str, str], schema: Mapping[str, Any], prefix: str, before: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The document that a filled-in form means, without what was left empty.

    A field that is as it was drawn for the document `before` leaves that as it was there. `ProblemError` (422) names
    every field that cannot be read, and has the rest as its document.
    """
    known: Mapping[str, Any] = before or {}
    document: dict[str, Any] = {}
    wrong: list[tuple[str, str]] = []
    shapes = [(name, shape_of(name, inner, schema), inner) for name, inner in schema.get("properties", {}).items()]
    for name, shape, inner in shapes:
        place = _path(prefix, name)
        text = _lines_as_we_write(form.get(place, ""))
        if place in form and text == _lines_as_we_write(_text(known, name, shape, inner)):
            document |= {name: known[name]} if name in known else {}
        elif text.strip():
            try:
                document[name] = read(text, shape)
            except ValueError as error:
                wrong.append((place, str(error)))
    try:
        document |= _sent_unknown(form.get(_path(prefix, _UNKNOWN), ""))
    except ValueError as error:
        wrong.append((_path(prefix, _UNKNOWN), str(error)))
    if wrong:
        raise unreadable(wrong, document)
    return document


def by_place(errors: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The errors of a problem by the place in the document that was sent, such as `payload.url`; ``: the whole."""
    found: dict[str, list[str]] = {}
    for place, said in errors:
        there = found.setdefault("" if place == "body" else place.removeprefix("body."), [])
        if said not in there:
            there.append(said)
    return {place: "; ".join(said) for place, said in found.items()}


def listed(
    errors: Mapping[str, str], names: Sequence[str], labels: Mapping[str, str] | None = None
) -> list[tuple[str | None, str]]:
    """What is wrong, in the order of the fields' `names`, each with the name of its field; first what concerns none.

    It says which field that is as its label does: by the name, if that is not among the `labels`.
    """
    found = [(_field_at(place, names), _labelled(place, said, labels or {})) for place, said in errors.items()]
    return sorted(found, key=lambda one: -1 if one[0] is None else names.index(one[0]))


def all_read(*parts: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What all parts of a form mean; `ProblemError` (422) with all that is wrong in any of them, and with the rest."""
    found: dict[str, Any] = {}
    wrong: list[tuple[str, str]] = []
    for part in parts:
        try:
            found |= part()
        except ProblemError as problem:
            found |= problem.document
            wrong += problem.errors
    if wrong:
        raise unreadable(wrong, found)
    return found


def unreadable(wrong: Sequence[tuple[str, str]], rest: Mapping[str, Any] = MappingProxyType({})) -> ProblemError:
    """The refusal of a form, by the places that cannot be read; `rest` is what can."""
    return ProblemError(422, "; ".join(f"{place}: {said}" for place, said in wrong), wrong, rest)


def with_faults(problem: ProblemError, faults: Sequence[tuple[str, str]]) -> ProblemError:
    """The same refusal, with the faults at other places, too."""
    known = by_place(problem.errors)
    more = [
        (f"body.{place}" if place else "body", said) for place, said in faults if _field_at(place, [*known]) is None
    ]
    return ProblemError(problem.status, problem.detail, [*problem.errors, *more], problem.document)


def field_id(name: str) -> str:
    """The id in the page of the field with that name."""
    return name.replace(".", "-")


def in_words(name: str) -> str:
    """A property as people say it: `expect_status` is `Expect status`."""
    said = " ".join(_WORDS.get(word, word) for word in name.split("_"))
    return _LABELS.get(name, said[:1].upper() + said[1:])


def _field(
    name: str,
    inner: Mapping[str, Any],
    shape: Shape,
    values: Mapping[str, Any],
    typed: str | None,
    prefix: str,
    is_required: bool,
    errors: Mapping[str, str],
) -> Field:
    place = _path(prefix, name)
    text = _text(values, name, shape, inner) if typed is None else typed
    default = spell_default(inner.get("default"), shape)
    return Field(
        name=place,
        label=in_words(name),
        widget=_widget(shape, text),
        value=text,
        help=inner.get("description", ""),
        is_required=is_required,
        is_more=not is_required and _FORWARD.fullmatch(name) is None,
        is_set=text not in ("", default),
        placeholder=default or _example(inner, shape),
        options=_choices(shape, text, is_required, has_default=bool(default)),
        error=_said(errors, place),
        mode="url" if shape.is_url else "decimal" if shape.widget == "number" else None,
    )


def _text(values: Mapping[str, Any], name: str, shape: Shape, inner: Mapping[str, Any]) -> str:
    """What is drawn into a field: the value; of a choice and of a tick, the default if there is none."""
    if name in values:
        return spell(values[name], shape)
    return spell_default(inner.get("default"), shape) if shape.widget in ("choice", "tick") else ""


def _widget(shape: Shape, text: str) -> str:
    """A widget that can show the text: a row may hold what its own widget cannot."""
    if shape.widget == "tick" and text not in ("", "true", "false"):
        return "text"
    if "\n" in text and shape.widget in ("text", "number", "numbers", "duration"):
        return "long"
    return shape.widget


def _choices(shape: Shape, text: str, is_required: bool, *, has_default: bool) -> tuple[tuple[str, str], ...]:
    if shape.widget != "choice":
        return ()
    spelt = [spell(option, shape) for option in shape.options]
    words = {"true": "yes", "false": "no"} if shape.types == {"boolean"} else {}
    nothing = [] if has_default and not shape.takes_null else [("", "choose…" if is_required else "–")]
    unlisted = [(text, text)] if text and text not in spelt else []
    return tuple(nothing + [(option, words.get(option, option.replace("_", " "))) for option in spelt] + unlisted)


def _example(inner: Mapping[str, Any], shape: Shape) -> str:
    """As it would be typed, in one line."""
    if not inner.get("examples") or shape.widget in ("choice", "tick"):
        return ""
    return f"such as {' '.join(spell(inner['examples'][0], shape).split())}"


def _said(errors: Mapping[str, str], place: str) -> str:
    """What is wrong with a field, and with what is within its value."""
    within = [f"{at.removeprefix(place + '.')}: {said}" for at, said in errors.items() if at.startswith(place + ".")]
    return "; ".join([*filter(None, [errors.get(place)]), *within])


def _field_at(place: str, names: Sequence[str]) -> str | None:
    """The name of the field that has a place in its value."""
    while place and place not in names:
        place = place.rpartition(".")[0]
    return place or None


def _labelled(place: str, said: str, labels: Mapping[str, str]) -> str:
    where = place.removeprefix("payload.").removeprefix("config.")
    known = labels.get(where) or (in_words(where) if where.isidentifier() else where)
    return f"{known}: {said}" if place else said


def _unknown(values: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in schema.get("properties", {})}


def _sent_unknown(text: str) -> dict[str, Any]:
    found = read(text, _JSON) if text.strip() else {}
    if not isinstance(found, dict):
        raise ValueError("write a JSON object, or nothing")
    return found


def _path(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _lines_as_we_write(text: str) -> str:
    """Browsers send every line's end as CR and LF."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
