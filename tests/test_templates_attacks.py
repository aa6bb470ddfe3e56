"""What somebody may write to get out of a template, or to hold up the process it runs in, and what becomes of it."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import ConfigError, PermanentError
from include.templates import Template

LONG = "x" * 1_000_000
RECORD: dict[str, Any] = {
    "key": "k",
    "payload": {
        "text": LONG,
        "numbers": list(range(100_000)),
        "same_hash": [(2**61 - 1) * number for number in range(50_000)],
        "people": [{"name": f"n{number}", "age": number} for number in range(20_000)],
        "huge": 10**4000,
    },
}


def rendered(text: str) -> Any:
    return Template({"text": text}).render(record=RECORD, owner="ann")["text"]


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ ''['__cla' ~ 'ss__'] }}",
        "{{ record.__init__ }}",
        "{{ record.__class__.__base__ }}",
        "{{ record['__class__'] }}",
        "{{ record.payload.numbers.append }}",
        "{{ record.pop }}",
        "{{ record.update({'a': 1}) }}",
        "{{ self }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ lipsum.__globals__ }}",
        "{{ range }}",
        "{{ dict }}",
        "{{ namespace }}",
        "{{ joiner }}",
        "{{ config }}",
        "{{ request }}",
        "{{ context }}",
        "{{ environment }}",
        "{{ __builtins__ }}",
        "{{ get_flashed_messages.__globals__ }}",
        "{{ record | attr('__class__') }}",
        "{{ record.key | attr('upper') }}",
        "{{ [record] | map('attr', '__class__') | list }}",
        "{{ [record] | map(attribute='__class__') | list }}",
        "{{ [record] | map(attribute='pop') | list }}",
        "{{ [record] | selectattr('__class__.__mro__', 'ne', 1) | map(attribute='__class__') }}",
        "{{ [record] | groupby('__class__') }}",
        "{{ [record] | sort(attribute='__class__') }}",
        "{{ [record] | sum(attribute='__len__') }}",
        "{{ record | xmlattr }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ '{0.__class__.__init__.__globals__}' | format(record) }}",
        "{{ '{a.__class__}'.format_map({'a': 1}) }}",
        "{{ '%s' % record }}",
        "{{ '%999999999d' % 1 }}",
        "{{ ('%' ~ '999999999d') % 1 }}",
        "{{ (1).__class__ }}",
        "{{ 1.0.real }}",
        "{{ none.__class__ }}",
        "{% for a in [1] %}{{ loop.__class__ }}{% endfor %}",
        "{% for a in [1] %}{{ loop._iterator }}{% endfor %}",
        "{% for a in [1] %}{{ loop.cycle }}{% endfor %}",
        "{% for a in [1] %}{{ loop }}{% endfor %}",
        "{% for a in [1] %}{{ loop([1]) }}{% endfor %}",
        "{{ absent.__class__ }}",
        "{{ (absent | default(absent)).__init__ }}",
        "{% set x = namespace() %}{% set x.a = 1 %}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{% from 'os' import system %}",
        "{% extends owner %}",
        "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
        "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{{ caller() }}",
        "{{ super() }}",
        "{{ varargs }}",
        "{{ _alone }}",
        "{{ record | each(1) }}",
        "{{ record | concat(1) }}",
        "{{ record | random }}",
        "{{ record is sameas record }}",
        "{{ 'upper' is filter }}",
    ],
)
def test_there_is_no_way_out(text: str) -> None:
    """Nothing of Python is in reach: it is refused when it is written, or is not there when it is rendered."""
    with pytest.raises((ConfigError, PermanentError)) as caught:
        rendered(text)
    assert "class '" not in str(caught.value)


DOUBLE_TEXT = "{% set a = 'aaaaaaaa' %}" + "{% set a = a ~ a %}" * 60 + "{{ a }}"
DOUBLE_LIST = "{% set a = [1, 1] %}" + "{% set a = a + a %}" * 60 + "{{ a | length }}"
NEST_LIST = "{% set a = [1, 1] %}" + "{% set a = [a, a] %}" * 60
EACH = "{% for n in record.payload.numbers %}"


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'x' * 1000000000 }}",
        "{{ [1] * 1000000000 }}",
        "{{ 1000000000 * record.payload.numbers }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ 2 ** -1 }}",
        "{{ 1 << 99999999 }}",
        "{{ 99999999999" + " * 99999999999" * 30 + " }}",
        "{{ record.payload.huge * record.payload.huge }}",
        "{{ record.payload.huge / 3 }}",
        "{{ 1e308 * 10 }}",
        "{{ -(record.payload.huge) }}",
        "{{ '9' | replace('9', record.payload.text) | int }}",
        "{{ 5 | round(1000000000) }}",
        "{{ 5 | round(-1000000000) }}",
        "{{ 'nan' | float }}",
        "{{ 'inf' | float }}",
        "{{ '1e999' | float }}",
        "{{ 'a' | center(1000000000) }}",
        "{{ 'a' | indent(1000000000) }}",
        "{{ 'a\nb' | indent(1000000000) }}",
        "{{ 'a' | wordwrap(1) }}",
        "{{ [1] | batch(1000000000, 1) | list }}",
        "{{ [1] | slice(1000000000) | list }}",
        "{{ record | tojson(indent=1000000000) }}",
        "{{ record | pprint }}",
        "{{ lipsum(n=1000000000) }}",
        "{{ range(1000000000) | list }}",
        "{{ record.key | date('%1000000000Y') }}",
        "{{ 0 | date('%Y' * 100) }}",
        "{{ 0 | date('" + "x" * 201 + "') }}",
        "{{ record.payload.huge | date }}",
        "{{ record.payload.text | replace('x', record.payload.text) }}",
        "{{ record.payload.text | replace('', '12345') }}",
        "{{ record.payload.numbers | join(record.payload.text) }}",
        "{{ record.payload.text | urlencode }}",
        "{{ (record.payload.text ~ '<<<<<<<<' * 9) | escape }}",
        "{{ record.payload.text ~ record.payload.text }}",
        "{{ record.payload.text + record.payload.text }}",
        "{{ record.payload.text }}{{ record.payload.text }}",
        "{{ record.payload.numbers | sort }}",
        "{{ record.payload.numbers | join(',') | split(',') | map(attribute='a', default=1) | sort | unique }}",
        DOUBLE_TEXT,
        DOUBLE_LIST,
        NEST_LIST + "{{ a }}",
        NEST_LIST + "{{ a == a }}",
        NEST_LIST + "{{ a | tojson }}",
        NEST_LIST + "{% if 1 in a %}{% endif %}",
        EACH + "{{ record.payload.text }}{% endfor %}",
        EACH + "{% set a = record.payload | tojson %}{% endfor %}",
        EACH + "{% if record.payload == record.payload %}{% endif %}{% endfor %}",
        EACH + "{% if 'y' in record.payload.text %}{% endif %}{% endfor %}",
        EACH + "{% set a = record.payload.numbers[1:] %}{% endfor %}",
        EACH + "{% set a = record.payload.numbers | length + n * 2 - 1 %}{{ a }}{% endfor %}",
        EACH + EACH + "{% endfor %}{% endfor %}",
        EACH + "{% if true %}" + EACH + "{% endfor %}{% endif %}{% endfor %}",
        EACH * 12 + "{% endfor %}" * 12,
        "{% for n in record.payload.text %}{% endfor %}",
        "{{ [" + "record," * 500 + "record] }}",
    ],
)
def test_no_template_makes_much_of_little(text: str) -> None:
    """Nothing that would take long or much memory is begun: it is refused, or is too much for one call."""
    with pytest.raises((ConfigError, PermanentError)):
        rendered(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ record.payload.same_hash | unique | length }}", 50_000),
        ("{{ record.payload.people | map(attribute='" + "a." * 20_000 + "', default=1) | sum }}", 20_000),
        ("{{ record.payload.text | truncate(5) }}", "xx..."),
        ("{{ record.payload.text | upper | lower | length }}", 1_000_000),
        ("{{ record.payload.huge == record.payload.huge }}", True),
        ("{{ (record.payload.people | max(attribute='age')).name }}", "n19999"),
    ],
)
def test_large_records_can_be_worked_with(text: str, value: Any) -> None:
    """What takes linear time is done, also for what was made up to take longer."""
    assert rendered(text) == value


def test_a_huge_number_passes_but_cannot_be_spelled_in_passing() -> None:
    """A number of thousands of digits is passed on as it is; arithmetic with it is refused."""
    assert rendered("{{ record.payload.huge }}") == 10**4000
    with pytest.raises(PermanentError, match="a number of more than 100 digits"):
        rendered("{{ record.payload.huge + 1 }}")


def test_the_allowance_is_for_the_whole_payload() -> None:
    """Many small templates together may do no more than one; the next rendering begins anew."""
    template = Template({str(number): "{{ record.payload.numbers }}" for number in range(2)})
    assert template.render(record=RECORD) == template.render(record=RECORD)
    many = Template({str(number): "{{ record.payload.numbers }}" for number in range(20)})
    with pytest.raises(PermanentError, match="too much work for one call"):
        many.render(record=RECORD)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"a": "{{ x }}" + "y" * 65_536}, "the payload's templates are 65,543 characters; 65,536 is the most"),
        ({"a": "{{ x }}" + "y" * 40_000, "b": "{{ x }}" + "y" * 40_000}, "the payload's templates are 80,014 "),
        ({str(number): "{{ x }}" for number in range(201)}, "the payload has 201 templates; 200 is the most"),
        ({"a": "{{ x }}" * 1000}, "a: more than 4,000 words and signs in the templates of one payload"),
        ({str(number): "{{ x }}" * 10 for number in range(100)}, "78: more than 4,000 words and signs"),
        ({"a": "{{ " + "9" * 60_000 + " }}"}, "a: "),
        ({"a": "{{ " + "[" * 60_000}, "a: more than 4,000"),
        ({"a": "{{ x" + ".x" * 1_000 + " }}"}, "a: nested too deeply"),
        ({"a": "{{ x" + " | upper" * 500 + " }}"}, "a: nested too deeply"),
        ({"a": "{% if x %}" * 200 + "{% endif %}" * 200}, "a: nested too deeply"),
    ],
)
def test_what_takes_long_to_compile_is_refused(payload: dict[str, Any], reason: str) -> None:
    """The size of templates is bounded before they are parsed, and their depth before they are compiled."""
    with pytest.raises(ConfigError) as caught:
        Template(payload)
    assert str(caught.value).startswith(reason)


def test_payloads_nest_32_levels() -> None:
    """Deeper ones are refused, with the place; so is one that would exhaust the stack."""
    payload: dict[str, Any] = {"a": "{{ x }}"}
    for _ in range(31):
        payload = {"a": payload}
    assert Template(payload).render(x=1)
    with pytest.raises(ConfigError, match=r"^a\.a\..*: nested deeper than 32 levels$"):
        Template({"a": payload})
    deep: list[Any] = []
    for _ in range(sys.getrecursionlimit()):
        deep = [deep]
    with pytest.raises(ConfigError, match="nested deeper"):
        Template({"a": deep})


def test_a_deep_record_is_passed_on() -> None:
    """A record may be as deep as JSON itself can be read, and deeper is an error of ours."""
    deep: list[Any] = []
    for _ in range(900):
        deep = [deep]
    assert Template({"a": "{{ x }}"}).render(x=deep)["a"] is deep
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(PermanentError):
        Template({"a": "{{ x | tojson }}"}).render(x=deep)


WORDS = (
    "{{ }} {% %} {# #} {{- -}} for in if else elif endfor endif set raw endraw is not and or recursive "
    "record payload loop a b _ self 0 1 9.5 'x' \" ' \\ ( ) [ ] { } : , . | ~ + - * / // % ** == < = ! upper join "
    "map attribute default defined none true"
)


@settings(max_examples=300)
@given(st.lists(st.sampled_from(WORDS.split()), max_size=15), st.booleans())
def test_whatever_is_written_ends_in_a_value_or_in_our_errors(tokens: list[str], wrapped: bool) -> None:
    """No sequence of words and signs makes anything but `ConfigError` and `PermanentError` come out."""
    text = " ".join(["{{", *tokens, "}}"] if wrapped else tokens)
    with suppress(ConfigError, PermanentError):
        Template({"a": text}).render(record={"payload": {"a": [1, "x"]}}, a=[1], b="y")
