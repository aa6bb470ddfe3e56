"""JSON merge patch (RFC 7396): what is given replaces what was there, objects are merged, null takes out."""

from __future__ import annotations

from typing import Any


def merged(target: Any, patch: Any) -> Any:
    """What the patch makes of the target; neither is changed."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result
