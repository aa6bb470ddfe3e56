"""The JSON Schema of a file, for editors: what rows may say, and what the settings of each kind are.

It refuses nothing that `apply` takes: what a text stands for, as a reference or as a template, only that can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaValue

from include import registry
from include.documents.configuration.document import Configuration, untitled
from include.documents.configuration.sections import SECTIONS, Section

_REFERENCE = {"type": "string", "pattern": r"\$\{"}
_TEXT = {"type": "string"}
_ABOUT = ("description", "default", "examples")


@cache
def schema() -> JsonSchemaValue:
    """The schema; whoever changes it spoils it for all."""
    found: Any = untitled(Configuration.model_json_schema())
    kinds = found.setdefault("$defs", {})
    for section in SECTIONS:
        entry = found["properties"][section.name]["additionalProperties"]
        code = section.table.code
        entry["properties"] = {
            name: value if name in (code, "notify") else _or(value, _REFERENCE)
            for name, value in entry["properties"].items()
        }
        entry["allOf"] = list(_by_kind(section, kinds))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A configuration of Millrace",
        **found,
    }


def _by_kind(section: Section, kinds: dict[str, Any]) -> Iterator[JsonSchemaValue]:
    """For each kind, what its settings are; they are added to `kinds`."""
    code = section.table.code
    noun = "source" if code == "config" else "action"
    for kind in registry.source_kinds() if noun == "source" else registry.action_kinds():
        name = f"{noun}_{kind}"
        if name not in kinds:
            model = registry.source(kind).config if noun == "source" else registry.action(kind).config
            made_of_record = None if noun == "source" else registry.action(kind).record_field
            kinds[name] = _settings(model, name, made_of_record, kinds)
        then: JsonSchemaValue = {"properties": {code: {"$ref": f"#/$defs/{name}"}}}
        if kinds[name].get("required"):
            then["required"] = [code]
        yield {"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": then}


def _settings(model: type[BaseModel], name: str, left_out: str | None, kinds: dict[str, Any]) -> JsonSchemaValue:
    """The settings of a kind, of which one may be left out; what they refer to is added to `kinds`."""
    found: JsonSchemaValue = _each_setting(untitled(model.model_json_schema(ref_template=f"#/$defs/{name}_{{model}}")))
    kinds.update({f"{name}_{inner}": value for inner, value in found.pop("$defs", {}).items()})
    found["required"] = [setting for setting in found.get("required", []) if setting != left_out]
    return found


def _each_setting(value: Any) -> Any:
    """The schema, in which every setting may be a text instead; what tells one shape from others stays."""
    if isinstance(value, list):
        return [_each_setting(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    change: dict[str, Callable[[Any], Any]] = {
        "properties": lambda inner: {name: _or_text(each) for name, each in inner.items()},
        "additionalProperties": _or_text,
        "items": _or_text,
    }
    made = {name: change.get(name, _each_setting)(inner) for name, inner in value.items() if name != "discriminator"}
    if "oneOf" in made:
        made["anyOf"] = made.pop("oneOf")  # where a text will do, more than one of them may fit
    return made


def _or_text(value: Any) -> Any:
    made = _each_setting(value)
    return made if not isinstance(made, dict) or not made or "const" in made else _or(made, _TEXT)


def _or(value: JsonSchemaValue, other: JsonSchemaValue) -> JsonSchemaValue:
    about = {name: value[name] for name in _ABOUT if name in value}
    return {**about, "anyOf": [{name: inner for name, inner in value.items() if name not in _ABOUT}, other]}
