"""Forms drawn from JSON Schema: every value can be shown, what is shown means the same, and mistakes are named."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from include import registry
from include.ui.api import ProblemError
from include.ui.form import Form
from include.ui.schema_form import by_place, drawn, sent
from include.ui.templates import template

TEXT: dict[str, Any] = {"type": "string"}
MANY: dict[str, Any] = {"type": "array", "items": TEXT}
ANYTHING = {"$ref": "#/$defs/JsonValue"}
SCHEMA: dict[str, Any] = {
    "$defs": {
        "JsonValue": {},
        "Page": {"type": "object", "properties": {"type": {"const": "page"}}, "required": ["type"]},
        "One": {"type": "object", "properties": {"type": {"const": "one"}}},
    },
    "properties": {
        "url": {**TEXT, "format": "uri", "maxLength": 2048, "description": "Where `it` is."},
        "text": TEXT,
        "sql": {"anyOf": [TEXT, MANY]},
        "rows": {"type": "integer", "default": 20},
        "share": {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None},
        "statuses": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]},
        "read_only": {"type": "boolean", "default": False},
        "unfurl": {"anyOf": [{"type": "boolean"}, {"type": "null"}], "default": None},
        "method": {"enum": ["GET", "POST"], "default": "GET", "type": "string"},
        "must": {"enum": ["a", "b"]},
        "to": {"anyOf": [TEXT, MANY]},
        "names": MANY,
        "headers": {"type": "object", "additionalProperties": TEXT},
        "params": {"type": "object", "additionalProperties": {"anyOf": [TEXT, {"type": "integer"}]}},
        "body": {"anyOf": [{"type": "object"}, {"type": "array"}, TEXT, {"type": "null"}]},
        "json": ANYTHING,
        "arguments": {"type": "object", "additionalProperties": ANYTHING},
        "paginator": {
            "anyOf": [
                {"enum": ["one", "page"], "type": "string"},
                {
                    "oneOf": [{"$ref": "#/$defs/One"}, {"$ref": "#/$defs/Page"}],
                    "discriminator": {"propertyName": "type"},
                },
            ]
        },
    },
    "required": ["url", "must"],
}
WIDGETS = {
    "url": "text",
    "text": "long",
    "sql": "loose",
    "rows": "number",
    "share": "number",
    "statuses": "numbers",
    "read_only": "tick",
    "unfurl": "choice",
    "method": "choice",
    "must": "choice",
    "to": "lines",
    "names": "lines",
    "headers": "pairs",
    "params": "pairs",
    "body": "loose",
    "json": "json",
    "arguments": "json",
    "paginator": "loose",
}
# By property, values that it may have, and those that it should not have and yet a row may hold.
VALUES: list[tuple[str, Any]] = [
    *(("text", value) for value in ("", " a ", "\n\na", "{{ record.id }}", '{"a": 1}')),
    *(("sql", value) for value in ("select 1", ["select 1", "b"], '["a"]', "[ -f x ]", "{a}", '"a"', [], [1], {})),
    *(("rows", value) for value in (0, 1.5, -3, 1e300, 10**30, "{{ record.rows }}", "20", None, [], True)),
    *(("statuses", value) for value in (200, [200], [200, 404], [], "200", "{{ record.s }}", None)),
    *(("read_only", value) for value in (True, False, None, "{{ record.b }}", "yes", 1)),
    *(("unfurl", value) for value in (True, False, None, "x")),
    *(("method", value) for value in ("GET", "POST", "get", None, 5)),
    *(
        ("to", value)
        for value in ("a", ["a"], ["a", "b"], [" a "], ["a\nb"], [""], [], "a\nb", '["a"]', [1], "{{ x }}")
    ),
    *(("names", value) for value in (["a"], ["a", "b"], "a", "{{ record.names }}", ["{{ x }}"], ['["a"]'], ['"a"'])),
    *(
        ("headers", value)
        for value in ({"A": "b"}, {"A": ""}, {"A:": "b"}, {"": "a"}, {" A": "a"}, {'"': "a"}, {"{": "a"})
    ),
    *(("headers", value) for value in ({"A": "b: c"}, {"A": " b"}, {"A": "b\nc"}, {"A": 1}, {}, [], "{{ x }}", "a: b")),
    *(("headers", value) for value in ({"{{ a }}": "{{ b }}"}, {"{{ a": "b }}"}, {"A": "{{ record.a }}"}, None)),
    *(("params", value) for value in ({"a": 1, "b": "1", "c": "x", "d": "true"}, {"a": True}, {"a": None}, {"a": [1]})),
    *(
        ("body", value)
        for value in ({}, [], "", "a", '{"a": 1}', "[1]", '"a"', "{{ record }}", '{"a": {{ record }}}', 5)
    ),
    *(
        ("json", value)
        for value in ({"a": [1, None, "é\u2028"]}, 1, "a", "{{ x }}", '{"a": "{{ x }}"}', None, True, "1")
    ),
    *(("paginator", value) for value in ("page", {"type": "page"}, "{", '{"type": "page"}', "auto")),
]


# What is shown as if it were not there, or as the default is.
NOTHING: tuple[Any, ...] = (None, "", "GET", False)


def is_allowed(name: str, value: Any) -> bool:
    """Whether the schema allows a value that is more than nothing; a template is allowed everywhere."""
    if any(value is one or value == one != 0 for one in NOTHING) or (isinstance(value, str) and "{{" in value):
        return False
    if value in ([], {}) and WIDGETS[name] in ("lines", "numbers", "pairs"):
        return False
    schema = {**SCHEMA["properties"][name], "$defs": SCHEMA["$defs"]}
    return bool(Draft202012Validator(schema).is_valid(value))


def typed(fields: list[Any]) -> Form:
    """The fields as a browser sends them, untouched."""
    return Form({one.name: [one.value.replace("\n", "\r\n")] for one in fields})


def test_every_type_has_its_widget() -> None:
    """Text, code, numbers, ticks, choices, lines, pairs and JSON; references and alternatives are followed."""
    fields = drawn(SCHEMA, {}, "payload", {})
    assert {one.name.removeprefix("payload."): one.widget for one in fields} == WIDGETS
    url = fields[0]
    assert (url.name, url.id, url.label, url.help, url.is_required) == (
        "payload.url",
        "payload-url",
        "URL",
        "Where `it` is.",
        True,
    )
    assert [one.name for one in drawn(SCHEMA, {}, "", {})][:2] == ["url", "text"]


@pytest.mark.parametrize(("name", "value"), VALUES, ids=lambda value: json.dumps(value)[:40])
def test_what_is_shown_and_left_alone_stays(name: str, value: Any) -> None:
    """Whatever a document holds, its form means the same document, to the letter."""
    before = {name: value}
    form = typed(drawn(SCHEMA, before, "payload", {}))
    assert json.dumps(sent(form, SCHEMA, "payload", before)) == json.dumps(before)


@pytest.mark.parametrize(("name", "value"), VALUES, ids=lambda value: json.dumps(value)[:40])
def test_what_is_shown_can_be_typed(name: str, value: Any) -> None:
    """A new document is the same, too, if somebody types what is shown for a value that its schema allows."""
    if not is_allowed(name, value):
        return
    fields = [one for one in drawn(SCHEMA, {name: value}, "payload", {}) if one.name == f"payload.{name}"]
    assert json.dumps(sent(typed(fields), SCHEMA, "payload")) == json.dumps({name: value})


def test_what_is_left_empty_is_left_out() -> None:
    """An empty form means an empty document: defaults are not written down, and are shown as what would be."""
    fields = drawn(SCHEMA, {}, "payload", {})
    assert sent(typed(fields), SCHEMA, "payload") == {}
    by_name = {one.name: one for one in fields}
    assert (by_name["payload.rows"].placeholder, by_name["payload.method"].value) == ("20", "GET")
    assert by_name["payload.must"].options[0] == ("", "choose…")
    assert by_name["payload.unfurl"].options == (("", "–"), ("true", "yes"), ("false", "no"))
    assert sent(Form({"payload.rows": [" "], "payload.read_only": ["false", "true"]}), SCHEMA, "payload") == {
        "read_only": True
    }


def test_all_that_cannot_be_read_is_named() -> None:
    """Each field that makes no sense says what to write; nothing of the rest is lost in the next form."""
    wrong = {
        "rows": "many",
        "headers": "X",
        "json": "{",
        "body": "[1",
        "statuses": "1, x",
        "arguments": "NaN",
        "share": "1_0",
    }
    form = Form({f"payload.{name}": [text] for name, text in wrong.items()} | {"payload.text": ["kept"]})
    with pytest.raises(ProblemError) as caught:
        sent(form, SCHEMA, "payload")
    assert caught.value.status == 422
    assert {place for place, _ in caught.value.errors} == {f"payload.{name}" for name in wrong}
    again = {one.name: one for one in drawn(SCHEMA, {}, "payload", by_place(caught.value.errors), form)}
    for name, text in wrong.items():
        assert again[f"payload.{name}"].value == text
        assert again[f"payload.{name}"].error
    assert (again["payload.text"].value, again["payload.text"].error) == ("kept", "")


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5_000, '{"a": ' * 5_000, "\x00", "𝕏", "-", "::::", "{{", "{%"])
@pytest.mark.parametrize("name", WIDGETS)
def test_no_text_breaks_a_field(name: str, text: str) -> None:
    """Whatever is sent is read, or refused as what it is."""
    places = {f"payload.{name}"}
    with suppress(ProblemError):
        places = set(sent(Form({f"payload.{name}": [text]}), SCHEMA, "payload"))
    assert places <= {name, f"payload.{name}"}


def test_errors_are_beside_their_field() -> None:
    """By the places of the API; what is wrong within a value says where."""
    places = by_place(
        [("body.payload.url", "a"), ("body.payload.url", "b"), ("body.payload.headers.X", "c"), ("body", "d")]
    )
    assert places == {"payload.url": "a; b", "payload.headers.X": "c", "": "d"}
    assert by_place([("body.body", "a"), ("body.body.x", "b"), ("body", "c")]) == {"body": "a", "body.x": "b", "": "c"}
    fields = {one.name: one.error for one in drawn(SCHEMA, {}, "payload", places)}
    assert (fields["payload.url"], fields["payload.headers"], fields["payload.text"]) == ("a; b", "X: c", "")


def test_settings_that_are_not_known_can_be_taken_out() -> None:
    """A document with more than its schema has is shown whole, and stays as it is until somebody changes that."""
    before = {"url": "a", "odd": {"n": 1}}
    fields = drawn(SCHEMA, before, "payload", {"payload.odd": "not permitted"})
    assert (fields[-1].name, fields[-1].error) == ("payload._", "not permitted")
    form = typed(fields)
    assert sent(form, SCHEMA, "payload", before) == before
    assert sent(Form({"payload.url": ["a"], "payload._": [""]}), SCHEMA, "payload", before) == {"url": "a"}
    with pytest.raises(ProblemError, match=r"payload\._: write a JSON object"):
        sent(Form({"payload._": ["[]"]}), SCHEMA, "payload")


def test_fields_are_accessible_html() -> None:
    """A label, help and what is wrong belong to each field; what is written is text, and a first empty line is kept."""
    module = template("fields.html").module
    values = {"url": '"><script>', "text": "\n</textarea>", "read_only": True}
    html = str(module.all(drawn(SCHEMA, values, "payload", {"payload.url": "<bad>"})))  # type: ignore[attr-defined] # a macro
    assert '<label for="payload-url">' in html
    assert 'aria-invalid="true" aria-describedby="payload-url-help payload-url-wrong"' in html
    assert '<p class="help" id="payload-url-help">Where <code>it</code> is.</p>' in html
    assert '<p class="wrong" id="payload-url-wrong">&lt;bad&gt;</p>' in html
    assert "<script>" not in html
    assert ">\n\n&lt;/textarea&gt;</textarea>" in html
    assert '<input type="hidden" name="payload.read_only" value="false">' in html
    assert '<details class="more" open>' in html


@pytest.mark.parametrize("kind", registry.action_kinds())
def test_kinds_show_first_what_people_fill_in(kind: str) -> None:
    """What a kind needs is never hidden below "More settings", which is closed unless something there is set."""
    fields = drawn(registry.action(kind).config.model_json_schema(), {}, "payload", {})
    assert any(not one.is_more for one in fields)
    assert not any(one.is_more and (one.is_required or one.is_set) for one in fields)
