"""Connectors to choose from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any


def labelled(connectors: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The id of each, and its name: with its owner, where several have that name."""
    named = Counter(one["name"] for one in connectors)
    return [
        (str(one["id"]), one["name"] if named[one["name"]] == 1 else f"{one['name']} ({one['owner']})")
        for one in connectors
    ]


def id_of(text: str) -> int | None:
    """The id that was chosen; None if it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
