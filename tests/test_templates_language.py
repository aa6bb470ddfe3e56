"""What can be written in a template: filters, tests, operators and statements, and what is said about the rest."""

from __future__ import annotations

from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from include.errors import ConfigError, PermanentError
from include.templates import Template

NAMES: dict[str, Any] = {
    "name": "  Ann of the green gables ",
    "word": "abc",
    "n": 7,
    "x": -2.55,
    "yes": True,
    "nothing": None,
    "numbers": [3, 1, 2, 3],
    "words": ["b", "A", "c", "a"],
    "people": [
        {"name": "Zoe", "age": 40, "active": True, "home": {"town": "Rome"}},
        {"name": "al", "age": 9, "active": False, "home": {"town": "Bonn"}},
    ],
    "prices": {"pen": 2, "ink": 3},
}


def rendered(text: str, **names: Any) -> Any:
    return Template({"text": text}).render(**(names or NAMES))["text"]


# -- as in Jinja -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "{{ name | trim | upper }} {{ word | capitalize }} {{ 'ABC' | lower }}",
        "{{ word | replace('b', 'xyz') }} {{ word | length }} {{ word | reverse }} {{ word[1:] }} {{ word[-1] }}",
        "{{ name | trim | truncate(12) }} {{ name | truncate(12, true, '!') }}",
        "{{ absent | default('none') }} {{ '' | d('empty', true) }} {{ word | default('x') }}",
        "{{ numbers | sum }} {{ people | sum(attribute='age') }} {{ numbers | sum(start=10) }}",
        "{{ numbers | sort | join(',') }} {{ numbers | sort(reverse=true) | join }} {{ words | sort | join }}",
        "{{ words | sort(case_sensitive=true) | join }} {{ words | unique | join }} {{ numbers | unique | join }}",
        "{{ people | sort(attribute='age') | map(attribute='name') | join(' ') }} {{ people | join('-', 'name') }}",
        "{{ people | map(attribute='home.town') | first }} {{ people | map(attribute='zip', default='?') | join }}",
        "{{ (people | min(attribute='age')).name }} {{ numbers | max }} {{ words | min }}",
        "{{ people | selectattr('active') | map(attribute='name') | join }}",
        "{{ people | rejectattr('age', 'gt', 10) | map(attribute='name') | join }}",
        "{{ people | selectattr('home.town', 'eq', 'Rome') | map(attribute='name') | join }}",
        "{{ numbers | select('ge', 3) | join }} {{ numbers | reject('eq', 3) | join }} {{ [0, 1] | select | join }}",
        "{{ numbers | last }} {{ numbers | reverse | join }} {{ prices | list | join }} {{ prices | length }}",
        "{% for k, v in prices | items %}{{ k }}={{ v }}{{ ';' if not loop.last else '.' }}{% endfor %}",
        "{{ '12' | int + 1 }} {{ '1.5' | float }} {{ 'x' | int(5) }} {{ n | float }} {{ x | abs }} {{ x | int }}",
        "{{ 2.345 | round(1) }} {{ 2.345 | round(2, 'floor') }} {{ 2.345 | round(1, method='ceil') }}",
        "{{ 7 // 2 }} {{ 7 / 2 }} {{ 7 % 4 }} {{ 2 * 3 - 1 }} {{ -n }} {{ +n }} {{ 1.5 + 1 }}",
        "{{ (numbers + [4]) | sum }}",
        "{{ 'a' + 'b' }} {{ 'a' ~ n ~ word }} {{ 1 == 1.0 and 'y' or 'n' }} {{ n if n > 5 and n <= 7 else 'small' }}",
        "{{ 'y' if 'b' in word and 3 in numbers and 'pen' in prices and 9 not in numbers }}",
        "{{ 'y' if n is odd and 4 is even and word is string and n is number }}",
        "{{ 'y' if nothing is none and prices is mapping and numbers is sequence and yes is true }}",
        "{{ 'y' if absent is undefined and word is defined and absent is not defined and n is eq 7 and n is integer }}",
        "{{ 'y' if n is gt 6 and n is le(7) and 3 is in numbers and x is float }}",
        "{{ 'y' if yes is boolean and not yes is false and n is not boolean and n is not string }}",
        "{% if n > 10 %}a{% elif n > 5 %}b{% else %}c{% endif %}",
        "{% for p in people if p.active %}{{ loop.index }}/{{ loop.length }} {{ p.name }}{% endfor %}",
        "{% for p in people %}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{% endfor %}{% if true %}!{% endif %}",
        "{% for p in [] %}{{ p }}{% else %}nobody{% endfor %}{% for k in prices %}{{ k }}{% endfor %}",
        "{% set total = n * 2 %}{{ total }}{% for i in numbers %}{% set total = i %}{{ total }}{% endfor %}{{ total }}",
        "{%- if true -%}  a  {%- endif -%}\n  b {# not this #} {% raw %}{{ c }}{% endraw %}",
    ],
)
def test_what_is_offered_does_what_it_does_in_jinja(text: str) -> None:
    """People who know Jinja know this language, but for the spelling of what JSON spells otherwise."""
    jinja = ImmutableSandboxedEnvironment().from_string(text).render(**NAMES)
    assert str(rendered(text)) == jinja.replace("True", "true").replace("False", "false")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ 2.5 | round }}", 2),
        ("{{ 2.1 | round(method='ceil') }}", 3),
        ("{{ 'a/b c&d' | urlencode }}", "a%2Fb%20c%26d"),
        ("{{ {'q': 'a b', 'n': 1} | urlencode }}", "q=a%20b&n=1"),
        ("{{ '<a & \"b\">' | escape }}", "&lt;a &amp; &quot;b&quot;&gt;"),
        ("{{ {'a': [1, none, 'é<']} | tojson }}", '{"a":[1,null,"é<"]}'),
        ("{{ n | string }}", "7"),
        ("{{ 'a,b' | split(',') }}", ["a", "b"]),
        ("{{ ' a  b ' | split }}", ["a", "b"]),
        ("{{ word | first }}", "a"),
        ("{{ [] | first | default('none') }}", "none"),
        ("{{ [] | max | default(0) }}", 0),
        ("{{ [1, true, '1'] | unique }}", [1, True, "1"]),
        ("{{ people | map(attribute='zip', default=none) }}", [None, None]),
        ("{{ 'x' | int(default=none) }}", None),
        ("{{ prices | items }}", [["pen", 2], ["ink", 3]]),
        ("{{ '2026-11-21T09:05:00Z' | date('%d.%m.%Y %H:%M %Z') }}", "21.11.2026 09:05 UTC"),
        ("{{ '2026-11-21' | date }}", "2026-11-21"),
        ("{{ 0 | date('%Y-%m-%dT%H:%M:%S%z') }}", "1970-01-01T00:00:00+0000"),
        ("{{ absent.a.b[0] | default(n) }}", 7),
        ("{{ nothing.a | default(none) }}", None),
        ("{{ 'x' if false }}", ""),
        ("{{ numbers[1:3] }}", [1, 2]),
        ("{{ yes is number }}", False),
    ],
)
def test_what_differs_from_jinja_is_as_documented(text: str, value: Any) -> None:
    """Values are JSON, and nothing is made up for what is not there."""
    made = rendered(text)
    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "{{ absent }}",
        "{{ absent == 1 }}",
        "{{ absent is none }}",
        "{{ absent | upper }}",
        "{{ absent | length }}",
        "{{ absent ~ 'a' }}",
        "{{ [absent] }}",
        "{{ 'a' if absent else 'b' }}",
        "{% if absent %}{% endif %}",
        "{% for a in absent %}{% endfor %}",
        "{% for a in numbers %}{% if loop.first %}{% set absent = 1 %}{% endif %}{{ absent }}{% endfor %}",
        "{{ people | map(attribute='absent') | list }}",
        "{{ people | selectattr('absent', 'eq', 1) | list }}",
    ],
)
def test_what_is_missing_is_an_error(text: str) -> None:
    """Only `default`, `is defined` and `is undefined` can deal with what is not there."""
    with pytest.raises(PermanentError, match="absent"):
        rendered(text)


# -- what cannot be written --------------------------------------------------------------------------------------------

DEEP = "(" * 45 + "1" + " + 1)" * 45


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{ word.upper() }}", "nothing can be called; write a filter, such as {{ x | upper }}"),
        ("{{ range(9) }}", "nothing can be called"),
        ("{{ prices.items() }}", "nothing can be called"),
        ("{{ 2 ** 9 }}", "** is not possible; write x * x"),
        ("{{ 1, 2 }}", "write a list in brackets, such as [a, b]"),
        ("{{ 1 < 2 < 3 }}", "compare two at a time, such as a < b and b < c"),
        ("{{ word[::2] }}", "a slice has a beginning and an end, such as [0:10]"),
        ("{{ {1: 2} }}", "the keys of an object are texts"),
        ("{{ {word: 2} }}", "the keys of an object are texts"),
        ("{{ word | uper }}", "there is no filter 'uper'; did you mean 'upper'?"),
        ("{{ word | center(99) }}", "there is no filter 'center'; there are: abs, "),
        ("{{ word is callable }}", "there is no test 'callable'; there are: defined, "),
        ("{{ word | upper(1) }}", "upper: too many positional arguments"),
        ("{{ word | replace('a') }}", "replace: missing a required argument: 'new'"),
        ("{{ word | round(digits=1) }}", "round: got an unexpected keyword argument 'digits'"),
        ("{{ word | replace(*words) }}", "replace: write its arguments one by one"),
        ("{{ people | map('upper') }}", "map: "),
        ("{{ people | map(attribute=word) }}", "map: write the attribute as a plain text, such as 'user.name'"),
        ("{{ people | join(',', word) }}", "join: write the attribute as a plain text"),
        ("{{ " + "9" * 101 + " }}", "a number of more than 100 digits"),
        ("{{ 1e999 }}", "a number of more than 100 digits"),
        ("{{ _x }}", "there is no name '_x'"),
        ("{{ self }}", "there is no name 'self'"),
        ("{% set a, b = numbers %}", "set one name at a time"),
        ("{% set a.b = 1 %}", "set one name at a time"),
        ("{% set a %}b{% endset %}", "the statements are if, for and set"),
        (
            "{% for a in people %}{% for b in a %}{% endfor %}{% endfor %}",
            "a loop within a loop is not possible; write",
        ),
        ("{% for a in people recursive %}{% endfor %}", "a recursive loop is not possible"),
        ("{% macro m() %}{% endmacro %}", "the statements are if, for and set"),
        ("{% call m() %}{% endcall %}", "the statements are if, for and set"),
        ("{% filter upper %}{% endfilter %}", "the statements are if, for and set"),
        ("{% with a = 1 %}{% endwith %}", "the statements are if, for and set"),
        ("{% block b %}{% endblock %}", "the statements are if, for and set"),
        ("{% extends 'a' %}", "the statements are if, for and set"),
        ("{% include 'a' %}", "the statements are if, for and set"),
        ("{% import 'a' as a %}", "the statements are if, for and set"),
        ("{% from 'a' import b %}", "the statements are if, for and set"),
        ("{% autoescape true %}{% endautoescape %}", "the statements are if, for and set"),
        ("{% do 1 %}", "Encountered unknown tag 'do'"),
        ("{{ a b }}", "expected token 'end of print statement', got 'b'"),
        ("{{ a", "unexpected end of template"),
        ("{# a", "Missing end of comment tag"),
        ("{{ " + DEEP + " }}", "nested too deeply"),
        ("{{ " + "(" * 1500 + "1" + ")" * 1500 + " }}", "nested too deeply"),
    ],
)
def test_what_cannot_be_written_says_what_to_write(text: str, reason: str) -> None:
    """It is refused when the row is vetted, before anything is rendered."""
    with pytest.raises(ConfigError) as caught:
        Template({"text": text})
    assert str(caught.value).startswith(f"text: {reason}")
