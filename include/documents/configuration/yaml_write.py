"""JSON as YAML that people like to read and that `yaml_read` reads back exactly; the same value is the same bytes."""

from __future__ import annotations

import re
from typing import Any

import yaml

from include.documents.configuration.yaml_read import scalar

_STR, _NO_STR = "tag:yaml.org,2002:str", "tag:yaml.org,2002:float"
# What readers of YAML take for a break or for nothing, unless it is written as an escape.
_SPECIAL = re.compile(r"[\x00-\x1f\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]")
# Lines that a block shows as they are.
_LINE = re.compile(r"(?: *\S(?:.*\S)?)?")


def write_yaml(document: dict[str, Any]) -> str:
    """The document, in the order of its keys."""
    text: str = yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**9, default_flow_style=False
    )
    return text


class _Dumper(yaml.SafeDumper):
    """Texts that YAML 1.1 or 1.2 would take for something else are quoted; those of several lines are blocks."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call] # PyYAML's stubs say nothing
        if tag == _STR and implicit[0] and not isinstance(scalar(value), str):
            return _NO_STR
        return tag


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if _SPECIAL.search(text):
        style = "|" if _is_block(text) else '"'
    return dumper.represent_scalar(_STR, text, style=style)


def _is_block(text: str) -> bool:
    """Whether a block says it, line by line, without marks that people stumble over."""
    lines = text.removesuffix("\n").split("\n")
    return (
        "\n" in text
        and lines[0][:1] not in ("", " ")
        and lines[-1] != ""
        and not any(_SPECIAL.search(line) or not _LINE.fullmatch(line) for line in lines)
    )


_Dumper.add_representer(str, _text)
