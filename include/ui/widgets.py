"""Which widget takes a value of a JSON Schema, how it is spelt there, and what is meant by what somebody types."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

from pydantic import TypeAdapter, ValidationError

from include.documents.fields import DURATION_SCHEMA
from include.documents.same import same
from include.times import spell_duration

_ANY = frozenset({"string", "number", "integer", "boolean", "array", "object"})
_NUMBERS = frozenset({"number", "integer"})
_CODE = frozenset({"sql", "query", "command", "script", "body", "code"})
_LONG = frozenset({"text", "html", "message"})
_VERBATIM = frozenset({"text", "long", "code", "choice", "number", "tick", "duration"})
_TEMPLATE = re.compile(r"\{\{|\{%")
_ONE_EXPRESSION = re.compile(r"\{\{(?:(?!\}\}).)*\}\}")
_NAME = re.compile(r'[^\s:{"\[][^:\n]*')
_duration: TypeAdapter[timedelta] = TypeAdapter(timedelta)


@dataclass(frozen=True, slots=True)
class Shape:
    """What one property takes: its widget, the JSON types that fit, and what may be chosen.

    Widgets: `text`, `long`, `code`, `number`, `numbers` (several, with commas), `duration`, `tick`, `choice`, `lines`
    (one text each), `pairs` (`Name: value` each), `loose` (a text as it is, all else as JSON) and `json`. In all of
    them a text with `{{` or `{%` is a template.
    """

    widget: str
    types: frozenset[str] = _ANY
    options: tuple[Any, ...] = ()
    takes_null: bool = False
    is_url: bool = False


def shape_of(name: str, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Shape:
    """How a property of a schema is filled in; `root` is the schema with the `$defs`."""
    found = _variants(schema, root)
    variants = [one for one in found if one.get("type") != "null"]
    types = frozenset(kind for one in variants for kind in _types(one))
    options = tuple(option for one in variants for option in _options(one))
    takes_null = len(variants) < len(found)
    if all(one in variants for one in DURATION_SCHEMA["anyOf"]):
        widget = "duration"
    elif options and all(map(_options, variants)):
        widget = "choice"
    elif types == {"boolean"}:
        widget, options = ("choice", (True, False)) if takes_null else ("tick", ())
    elif types <= _NUMBERS:
        widget = "number"
    elif types == {"string"}:
        is_code, is_long = name in _CODE, name in _LONG
        widget = "code" if is_code else "long" if is_long else "text"
    else:
        widget, types = _compound(name, variants, types, root)
    is_url = any(one.get("format") == "uri" for one in variants)
    return Shape(widget, types, options if widget == "choice" else (), takes_null, is_url)


def spell(value: Any, shape: Shape) -> str:
    """The value as the text of its widget, so that it reads as the same again; None is nothing."""
    if value is None:
        return ""
    if isinstance(value, str) and shape.widget in _VERBATIM:
        return value
    if shape.widget == "duration" and isinstance(value, int | float) and not isinstance(value, bool):
        return spell_duration(timedelta(seconds=value))
    plain = _plain(value, shape)
    return plain if plain is not None and _reads_as(plain, shape, value) else _json(value)


def spell_default(default: Any, shape: Shape) -> str:
    """The default of a schema as the text of its widget; nothing, if it is empty."""
    if shape.widget == "duration" and isinstance(default, str):
        try:
            return spell_duration(_duration.validate_python(default))
        except ValidationError:
            return default
    return "" if default in ({}, []) else spell(default, shape)


def read(text: str, shape: Shape) -> Any:
    """What the text of a widget means; `ValueError` says what to write instead."""
    written = text.strip()
    if shape.widget in ("long", "code"):
        return text
    if shape.widget == "text":
        return written
    if shape.widget == "loose":
        return _read_loose(text, shape)
    if shape.widget in ("choice", "tick"):
        options = shape.options or (True, False)
        return next((option for option in options if spell(option, shape) == text), text)
    if shape.widget == "lines":
        return _read_lines(written, shape)
    if shape.widget == "pairs":
        return _read_pairs(written, shape)
    if _TEMPLATE.search(written) and not _is_json(written):
        return written
    if shape.widget == "duration":
        return _number(written) if re.fullmatch(r"[\d.]+", written, re.ASCII) else written
    if shape.widget == "number":
        return _number(written)
    if shape.widget == "numbers":
        return _read_numbers(written, shape)
    return _parse(written)


def _compound(
    name: str, variants: list[dict[str, Any]], types: frozenset[str], root: Mapping[str, Any]
) -> tuple[str, frozenset[str]]:
    items = frozenset(kind for one in variants for kind in _inner(one, "items", root) if "array" in _types(one))
    named = frozenset(kind for one in variants for kind in _inner(one, "additionalProperties", root))
    if types <= {"array", "string"} and items == {"string"} and name not in _CODE:
        return "lines", types
    if types <= {"array", *_NUMBERS} and items <= _NUMBERS:
        return "numbers", types
    if types == {"object"} and "string" in named and "object" not in named:
        return "pairs", named
    return ("loose" if "string" in types and types != _ANY else "json"), types


def _variants(schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The alternatives that a schema allows, references followed."""
    found = dict(schema)
    while (place := found.pop("$ref", None)) is not None:
        found = {**root.get("$defs", {}).get(place.removeprefix("#/$defs/"), {}), **found}
    choices = [*found.get("anyOf", ()), *found.get("oneOf", ())]
    return [one for choice in choices for one in _variants(choice, root)] if choices else [found]


def _types(variant: Mapping[str, Any]) -> frozenset[str]:
    if options := _options(variant):
        return frozenset(_type(option) for option in options)
    found = variant.get("type", ())
    return frozenset([found] if isinstance(found, str) else found) or _ANY


def _options(variant: Mapping[str, Any]) -> tuple[Any, ...]:
    return (variant["const"],) if "const" in variant else tuple(variant.get("enum", ()))


def _inner(variant: Mapping[str, Any], place: str, root: Mapping[str, Any]) -> Iterator[str]:
    """The types of what an array, or an object, holds."""
    inner = variant.get(place, {})
    for one in _variants(inner if isinstance(inner, Mapping) else {}, root):
        yield from _types(one)


def _type(value: Any) -> str:
    """The JSON type of a value."""
    for name, python in (("boolean", bool), ("string", str), ("number", int | float), ("array", list)):
        if isinstance(value, python):
            return name
    return "null" if value is None else "object"


def _plain(value: Any, shape: Shape) -> str | None:
    """The value without JSON's quotes and brackets, where the widget has such a way."""
    if isinstance(value, str):
        return value
    if shape.widget == "lines" and isinstance(value, list):
        return "\n".join(map(str, value))
    if shape.widget == "numbers" and isinstance(value, list):
        return ", ".join(map(_json, value))
    if shape.widget == "pairs" and isinstance(value, Mapping):
        inner = Shape("loose", shape.types)
        return "\n".join(
            f"{name}: {spell(one, inner) if one is not None else 'null'}".rstrip() for name, one in value.items()
        )
    return None


def _reads_as(text: str, shape: Shape, value: Any) -> bool:
    try:
        return same(read(text.replace("\r", ""), shape), value)
    except ValueError:
        return False


def _read_lines(text: str, shape: Shape) -> Any:
    if text[:1] in ('"', "[") and _is_json(text):
        return _parse(text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if len(lines) == 1 and "string" in shape.types else lines


def _read_pairs(text: str, shape: Shape) -> Any:
    if text[:1] in ('"', "{", "[") and _is_json(text):
        return _parse(text)
    if _ONE_EXPRESSION.fullmatch(text):
        return text
    inner, found = Shape("loose", shape.types), {}
    for line in filter(str.strip, text.splitlines()):
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise ValueError(f"write one on each line, as Name: value; {line.strip()[:50]!r} has no name and colon")
        if name.strip() in found:
            raise ValueError(f"{name.strip()[:50]!r} is there twice")
        found[name.strip()] = _read_loose(value.strip(), inner)
    return found


def _read_numbers(text: str, shape: Shape) -> Any:
    if text.startswith("["):
        return _parse(text)
    numbers = [_number(part) for part in re.split(r"[,\s]+", text) if part]
    return numbers[0] if len(numbers) == 1 and shape.types & _NUMBERS else numbers


def _read_loose(text: str, shape: Shape) -> Any:
    """JSON of a type that fits, or else the text; what looks like an object and is none, is a mistake."""
    try:
        value = _parse(text)
    except ValueError:
        is_meant = "object" in shape.types and text.strip()[:1] in ("{", "[") and not _TEMPLATE.search(text)
        if is_meant:
            raise
        return text
    kind = _type(value)
    fits = kind in shape.types or kind == "string" or (kind == "number" and "integer" in shape.types)
    return value if fits or (kind == "null" and "array" in shape.types) else text


def _number(text: str) -> Any:
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        value = None
    if _type(value) != "number":
        raise ValueError(f"{text[:50]!r} is no number; write it with digits, such as 3 or 0.5")
    return value


def _is_json(text: str) -> bool:
    try:
        _parse(text)
    except ValueError:
        return False
    return True


def _parse(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error.msg}, in line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _json(value: Any) -> str:
    return json.dumps(value, indent=2 if isinstance(value, Mapping | list) else None, ensure_ascii=False)
