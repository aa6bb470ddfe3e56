"""What attempts leave behind, as PostgreSQL can store it: kinds need not think of it."""

from __future__ import annotations

import json
from typing import Any


def storable(value: Any) -> Any:
    """The JSON value with what has no place in PostgreSQL replaced: NUL, lone surrogates.

    `ValueError` if it is no JSON.
    """
    try:
        return _cleaned(json.loads(json.dumps(value, allow_nan=False)))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"it is no JSON: {storable_text(str(error))}") from None


def storable_text(text: str) -> str:
    """The text with what has no place in PostgreSQL replaced."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {storable_text(name): _cleaned(item) for name, item in value.items()}
    return value
