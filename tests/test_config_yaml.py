"""YAML is read as JSON would say it and written so that it is read back exactly; references stand for variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.documents.configuration.files import read_files, write_files
from include.documents.configuration.references import Environment, escape
from include.documents.configuration.yaml_read import read_yaml
from include.documents.configuration.yaml_write import write_yaml
from include.errors import ConfigError
from tests.test_config_round_trip import texts, values

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]" for old, new in zip("abcdefg", "bcdefgh", strict=True)
)


def exact(one: Any, other: Any) -> bool:
    """Whether two values are the same, types and the order of keys included."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(exact(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(exact, one, other))
    return type(one) is type(other) and bool(one == other)


@given(st.dictionaries(texts, values, min_size=1))
def test_what_is_written_is_read_back_exactly(document: dict[str, Any]) -> None:
    """Texts that look like booleans, dates, numbers, markup or nothing stay texts; numbers stay what they are."""
    [parsed] = read_yaml(write_yaml(document), "x.yaml")
    assert exact(parsed.value, document)


def test_texts_of_several_lines_are_blocks() -> None:
    """A text with line breaks is written line by line, one that is no plain text in quotes."""
    assert write_yaml({"sql": "select 1\n  from a\n", "on": "on", "emoji": "🚀", "when": "2026-01-01"}) == (
        "sql: |\n  select 1\n    from a\n'on': 'on'\nemoji: 🚀\nwhen: '2026-01-01'\n"
    )


def test_plain_values_mean_what_json_would_say() -> None:
    """Dates and `on` are texts; there are no other numbers than those of JSON."""
    [parsed] = read_yaml("[on, 2026-01-01, 0x1f, 1_000, 1e3, -1, true, ~, 012]", "x.yaml")
    assert exact(parsed.value, ["on", "2026-01-01", "0x1f", "1_000", 1000.0, -1, True, None, "012"])


def test_json_is_read_with_its_escapes() -> None:
    """A file of JSON may write a character as two escapes, as most programs do."""
    [parsed] = read_yaml('{"a": "\\ud83d\\ude80 \\\\ud83d \\/"}', "x.json")
    assert parsed.value == {"a": "🚀 \\ud83d /"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "x.yaml:4:3: 'c' is there twice"),
        ("a: [1\nb: 2\n", "x.yaml:2:2: not YAML"),
        ("a: !!python/object:os.system {}", "x.yaml:1:4: tags such as tag:yaml.org,2002:python/object:os.system mean"),
        ("a: &a [*a]", "x.yaml:1:8: there is no anchor &a before this"),
        ("? [a]\n: 1\n", "x.yaml:1:3: a key must be a text"),
        ("a: 1e999", "x.yaml:1:4: 1e999 is too large a number"),
        ("a: " + "[" * 100_000, "x.yaml:1:"),
        ("a: \0", "x.yaml:1: not YAML"),
        ("# äöü\n\na: 1\nb: \7\n", "x.yaml:4: not YAML: control characters are not allowed (#x0007)"),
        (BOMB, "holds more than 1,000,000 values"),
    ],
)
def test_what_is_no_plain_data_is_refused_with_its_place(text: str, said: str) -> None:
    """Keys that come twice, tags, loops, bombs and bottomless nesting are errors, each with its line."""
    with pytest.raises(ConfigError) as caught:
        read_yaml(text, "x.yaml")
    assert said in str(caught.value)


def test_aliases_repeat_what_an_anchor_says() -> None:
    """What several rows share can be written once."""
    [parsed] = read_yaml("a: &shared {x: 1}\nb: *shared\n", "x.yaml")
    assert parsed.value == {"a": {"x": 1}, "b": {"x": 1}}


@given(st.recursive(st.one_of(texts, st.text("${}aA_")), lambda inner: st.lists(inner, max_size=3)))
def test_what_is_escaped_names_no_variable(value: Any) -> None:
    """An export can be applied in whatever environment: nothing in it is taken for a reference."""
    environment = Environment({})
    assert environment.resolve(escape(value), str) == value
    assert (environment.missing, environment.unclear) == ({}, [])


def test_a_reference_stands_for_a_variable_inside_any_text() -> None:
    """Variables are put in wherever a text names them, and what they hold is not looked at again."""
    environment = Environment({"HOST": "h", "_1": "${HOST}"})
    value = {"url": "https://${HOST}:${_1}/$${HOST}", "list": ["${HOST}"], "${HOST}": 1, "price": "$5 {x}"}
    assert environment.resolve(value, str) == {
        "url": "https://h:${HOST}/${HOST}",
        "list": ["h"],
        "${HOST}": 1,
        "price": "$5 {x}",
    }


def test_all_missing_variables_are_named_at_once(tmp_path: Path) -> None:
    """Who has forgotten two variables is told of both, each with the place that names it first."""
    file = tmp_path / "a.yaml"
    file.write_text("version: 1\njobs:\n  a:\n    kind: ping\n    payload: {url: '${HOST}'}\n  b: {kind: '${KIND}'}\n")
    with pytest.raises(ConfigError, match=rf"lacks .* HOST \({file}:5\), KIND \({file}:6\)"):
        read_files([str(file)], {})
    file.write_text("version: 1\njobs: {a: {kind: '${no-name}'}}\n")
    with pytest.raises(ConfigError, match=r"a\.yaml:2: \$\{ is followed by no name"):
        read_files([str(file)], {})


def test_several_documents_are_one_file() -> None:
    """One document per owner, with a line of three dashes between them."""
    assert write_files([{"version": 1}, {"version": 1, "owner": "${x}"}]) == (
        "version: 1\n---\nversion: 1\nowner: $${x}\n"
    )
