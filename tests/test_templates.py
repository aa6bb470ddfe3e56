"""What a payload with templates becomes for a record, and what is said where it cannot."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from include.errors import ConfigError, PermanentError
from include.registry import action
from include.templates import Template

RECORD: dict[str, Any] = {
    "connector": "shop",
    "position": 5,
    "key": "o-1",
    "created_at": "2026-11-21T09:00:00+00:00",
    "payload": {
        "name": "Ann",
        "id": 7,
        "total": 12.5,
        "paid": True,
        "note": None,
        "_id": "abc",
        "keys": "k",
        "items": [{"name": "pen", "price": 2}, {"name": "ink", "price": 3.5}],
    },
}
NAMES: dict[str, Any] = {
    "record": RECORD,
    "records": [RECORD],
    "workflow": {"id": 9, "name": "orders", "every_seconds": 5.0, "batch_size": 1},
    "owner": "ann@example.com",
    "connector": {"id": 1, "name": "shop"},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def rendered(text: str, **names: Any) -> Any:
    return Template({"text": text}).render(**(names or NAMES))["text"]


# -- values and texts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ record.payload.total }}", 12.5),
        ("{{ record.payload.paid }}", True),
        ("{{ record.payload.note }}", None),
        ("{{ record.payload }}", RECORD["payload"]),
        ("{{ records }}", [RECORD]),
        ("{{- record.payload.id -}}", 7),
        ("  {{- record.payload.id -}}  ", 7),
        ("{# what it is #}{{ record.payload.id }}", 7),
        ("{{ record.payload.id }} ", "7 "),
        ("{{ record.payload.id }}{{ record.payload.id }}", "77"),
        ("{{ '}}' }}", "}}"),
        ("{{ {'n': [record.payload.id, none]} }}", {"n": [7, None]}),
        ("{{ records if workflow.batch_size > 1 else record }}", RECORD),
        ("{% if true %}{{ record.payload.id }}{% endif %}", "7"),
        ("{# nothing else #}", ""),
    ],
)
def test_a_text_that_is_one_expression_becomes_the_value(text: str, value: Any) -> None:
    """One expression and nothing else gives a value of its own type, whatever stands around it in the braces."""
    made = rendered(text)
    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("Order {{ record.key }} of {{ owner }}\n", "Order o-1 of ann@example.com\n"),
        ("{{ record.payload.paid }}, {{ record.payload.note }}, {{ record.payload.total }}", "true, null, 12.5"),
        ("items: {{ record.payload['items'][0] }}", 'items: {"name":"pen","price":2}'),
        ("<{{ record.payload.name }}> & co", "<Ann> & co"),
    ],
)
def test_within_a_text_values_are_spelled_as_in_json(text: str, made: str) -> None:
    """A text is put in as it is, all else as JSON spells it; nothing is escaped."""
    assert rendered(text) == made


@pytest.mark.parametrize("text", ["", "{", "{ x }", "}} %} #}", "{ {x} }", "50 % {", "a\r\nb"])
def test_a_text_without_marks_stays(text: str) -> None:
    """A brace alone makes no template."""
    assert rendered(text) == text


def test_only_texts_are_templates() -> None:
    """The names of fields, numbers, booleans and null stay as they are, at any depth."""
    payload = {"{{ a }}": 1, "b": [True, None, 2.5, {"c": "{{ record.key }}"}], "{% d %}": "e"}
    assert Template(payload).render(**NAMES) == {**payload, "b": [True, None, 2.5, {"c": "o-1"}]}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("items.0.name", "pen"),
        ("items[1]['price']", 3.5),
        ("items[-1].name", "ink"),
        ("keys", "k"),
        ("_id", "abc"),
        ("name[0:2]", "An"),
    ],
)
def test_a_field_is_a_field_whatever_its_name(path: str, value: Any) -> None:
    """`a.b` is the field b of an object, and never something of Python's."""
    assert rendered("{{ record.payload." + path + " }}") == value


def test_an_instant_becomes_iso_8601() -> None:
    """An instant is a text in the payload: alone, within a text, and within a value."""
    at = datetime(2026, 11, 21, 9, tzinfo=timezone.utc)
    made = Template({"a": "{{ at }}", "b": "at {{ at }}", "c": "{{ event }}"}).render(at=at, event={"at": [at]})
    assert made == {"a": at.isoformat(), "b": f"at {at.isoformat()}", "c": {"at": [at.isoformat()]}}


@given(st.dictionaries(st.text(), JSON, max_size=3))
def test_a_payload_without_templates_renders_to_itself(payload: dict[str, Any]) -> None:
    """Any JSON without marks comes back equal."""
    if not any(mark in json.dumps(payload, ensure_ascii=False) for mark in ("{{", "{%", "{#")):
        assert Template(payload).render() == payload


@given(JSON)
def test_any_value_passes_through(value: Any) -> None:
    """Whatever JSON a record holds comes back equal, its texts never taken for templates."""
    made = Template({"a": "{{ record.payload }}"}).render(record={"payload": value})["a"]
    assert made == value
    assert type(made) is type(value)


def test_whole_values_are_not_copied() -> None:
    """A record that is passed on as it is costs no copy of it."""
    assert rendered("{{ record }}") is RECORD


def test_a_rendering_leaves_no_trace() -> None:
    """Neither the names nor later texts see what a text set; lists and objects of the payload are made anew."""
    before = deepcopy(NAMES)
    template = Template({"a": "{% set record = 1 %}{{ record }}", "b": "{{ record.key }}", "c": {"d": []}})
    first = template.render(**NAMES)
    assert first == {"a": "1", "b": "o-1", "c": {"d": []}}
    first["c"]["d"].append("changed")
    assert template.render(**NAMES)["c"] == {"d": []}
    assert before == NAMES


# -- what is said ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "{{ record.payload.nmae }}",
            "record.payload.nmae: there is no 'nmae'; there are: name, id, total, paid, note, _id, keys, items",
        ),
        ("{{ recrod.key }}", "recrod: there is no 'recrod'; there are: record, records, workflow, owner, connector"),
        ("a {{ record.payload.note.x.y }}", "record.payload.note.x: there is no 'x' in null"),
        ("{{ record.payload.name.first }}", "record.payload.name.first: there is no 'first' in a text"),
        ("{{ record.payload['items'][2] }}", "record.payload.items.2: there is no item 2: the list has 2"),
        ("{{ record[owner] }}", "record[...]: there is no such key; there are: connector, "),
        ("{{ (record.payload.name | upper).x }}", "(...).x: there is no 'x' in a text"),
        ("{{ {}.x }}", "(...).x: there is no 'x': the object is empty"),
        ("{{ record.payload.name + 1 }}", "+ adds numbers; write ~ to put texts together"),
        ("{{ record.payload.name | int }}", "int: not possible with a text"),
        ("{{ record.payload.name < 5 }}", "<: not possible with a text and a number"),
        ("{{ record.payload.id / 0 }}", "/: division by zero"),
        ("{% for x in record.payload.name %}{% endfor %}", "a loop needs a list or an object to go through"),
    ],
)
def test_what_cannot_be_rendered_says_where_and_why(text: str, reason: str) -> None:
    """The message has the place, the path and the names there are."""
    with pytest.raises(PermanentError) as caught:
        Template({"body": {"lines": ["", {"name": text}]}}).render(**NAMES)
    assert str(caught.value).startswith(f"body.lines.1.name: {reason}")


@pytest.mark.parametrize(
    "text",
    [
        "{{ record.secret.x }}",
        "{{ record.secret | int }}",
        "{{ record.secret | date }}",
        "{{ record.secret | round(method=record.secret) }}",
        "{{ record.secret - 1 }}",
        "{{ record[record.secret] }}",
        "{{ [][record.secret] }}",
        "{% for a, b in [record.secret] %}{% endfor %}",
        "{{ [record.secret, 1] | sort }}",
        "{{ [record.secret] | select(record.secret) }}",
        "{{ record.odd }}",
    ],
)
def test_messages_show_no_values(text: str) -> None:
    """What a record holds is in no message, nor in what the error came from."""
    with pytest.raises(PermanentError) as caught:
        rendered(text, record={"secret": "hunter2", "odd": {"hunter2"}})
    assert "hunter2" not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("value", [object(), {1, 2}, b"x", float("nan"), float("inf"), [object()]])
def test_what_is_not_json_is_refused(value: Any) -> None:
    """A value that JSON does not have is an error, and never a text made up for it."""
    for text in ("{{ x }}", "a {{ x }}", "{{ x | tojson }}"):
        with pytest.raises(PermanentError):
            rendered(text, x=value)


def test_long_messages_are_cut() -> None:
    """A record with very many or very long names does not make a very long message."""
    with pytest.raises(PermanentError) as caught:
        rendered("{{ x.y }}", x={"n" * 5000 + str(number): 1 for number in range(500)})
    assert len(str(caught.value)) < 1500


# -- what depends on a template ----------------------------------------------------------------------------------------

PAYLOAD = {"url": "https://h/{{ a }}", "status": ["{{ b }}", 200], "body": {"n": "{{ c }}", "m": 5}, "plain": {"x": 1}}


@pytest.mark.parametrize(
    ("place", "covered"),
    [
        (("url",), True),
        (("url", "constrained-str"), True),
        (("status",), True),
        (("status", "list[int]", 0), True),
        (("status", "list[int]", 1), False),
        (("status", "int"), True),
        (("body", "dict[str,json-or-python]", "n"), True),
        (("body", "n", "list[any]", 3, "deeper"), True),
        (("body", "dict[str,json-or-python]"), True),
        (("body", "m"), False),
        (("body", "dict[str,json-or-python]", "m", "int"), False),
        (("plain",), False),
        (("plain", "x"), False),
        (("missing",), False),
        ((), True),
    ],
)
def test_covers_what_a_template_decides(place: tuple[str | int, ...], covered: bool) -> None:
    """Places are Pydantic's: what only it knows of, such as the member of a union, is passed over."""
    assert Template(PAYLOAD).covers(place) is covered


def uncovered(kind: str, payload: dict[str, Any]) -> list[tuple[str | int, ...]]:
    """The places of what is wrong with a payload whatever its templates become."""
    try:
        action(kind).config.model_validate(payload)
    except ValidationError as error:
        return [each["loc"] for each in error.errors() if not Template(payload).covers(each["loc"])]
    return []


@pytest.mark.parametrize(
    ("kind", "payload", "wrong"),
    [
        ("webhook", {"url": "https://h/{{ record.key }}", "body": {"n": "{{ record.payload.n }}"}}, []),
        ("webhook", {"url": "{{ u }}", "body": "{{ record }}", "headers": "{{ h }}"}, []),
        ("webhook", {"url": 5, "body": {"n": "{{ n }}"}}, ["url"]),
        ("webhook", {"url": "https://h", "bdoy": 1, "body": ["{{ n }}"]}, ["bdoy"]),
        ("webhook", {"body": {"n": "{{ n }}"}}, ["url"]),
        ("webhook", {"url": "https://h", "headers": {"a": "{{ a }}", "b": 5}}, ["headers"]),
        ("http", {"url": "{{ u }}", "method": "{{ m }}", "json": {"a": "{{ a }}"}, "params": {"p": "{{ p }}"}}, []),
        ("http", {"url": "{{ u }}", "method": "FETCH", "params": {"p": ["{{ p }}"], "q": []}}, ["method", "params"]),
        ("ping", {"url": "{{ u }}", "expect_status": "{{ s }}"}, []),
        ("ping", {"url": "{{ u }}", "expect_status": ["{{ s }}", 200]}, []),
        ("ping", {"url": "{{ u }}", "expect_status": ["{{ s }}", 2000]}, ["expect_status"]),
    ],
)
def test_a_kind_judges_all_but_the_templates(kind: str, payload: dict[str, Any], wrong: list[str]) -> None:
    """With the settings of real kinds, what is wrong is seen before anything is rendered, and nothing else is."""
    assert [place[0] for place in uncovered(kind, payload)] == wrong


def test_a_payload_is_kept_as_written() -> None:
    """`payload` is what was given."""
    assert Template(PAYLOAD).payload == PAYLOAD


def test_compile_errors_have_the_place_and_the_line() -> None:
    """A text of several lines says which one is wrong; one of a single line does not."""
    with pytest.raises(ConfigError, match=r"^body\.items\.0\.name: line 3 of the template: unexpected '}'$"):
        Template({"body": {"items": [{"name": "a\nb\n{{ x } }"}]}})
    with pytest.raises(ConfigError, match=r"^url: unexpected '}'$"):
        Template({"url": "{{ x } }"})
