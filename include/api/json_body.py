"""Whether a body is JSON, before anybody reads anything into it."""

from __future__ import annotations

import json
from typing import Any

from include.errors import RefusedError

# A comma costs little to send and much to read: what has more is larger than any configuration.
_MOST_COMMAS = 1_000_000


def check_json(content_type: str, body: bytes) -> None:
    """`RefusedError` 415 if the body is not said to be JSON, 400 if it is none (RFC 8259), or names something twice."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise RefusedError(415, "send JSON, and say so: Content-Type: application/json")
    if body.count(b",") > _MOST_COMMAS:
        raise RefusedError(413, f"the body has more than {_MOST_COMMAS} commas: send it in parts")
    try:
        json.loads(body, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
    except RecursionError:
        raise RefusedError(400, "the body is not JSON that can be read: it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise RefusedError(400, f"the body is not JSON: {error.msg} at character {error.pos + 1}") from None
    except ValueError as error:  # not UTF-8, a number of thousands of digits, or one of ours
        raise RefusedError(400, f"the body is not JSON: {str(error)[:200]}") from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> None:
    """Nobody keeps what is read here; a name that is there twice would be read as the last one."""
    seen = set()
    for name, _ in pairs:
        if name in seen:
            raise ValueError(f"{name[:100]!r} is there twice")
        seen.add(name)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is none of its numbers")
