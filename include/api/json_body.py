"""A body as JSON, read once and strictly."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from fastapi import Request

from include.errors import RefusedError

# A comma costs little to send and much to read: what has more is larger than any configuration.
_MOST_COMMAS = 1_000_000


class JsonRequest(Request):
    """A request whose JSON the framework need not read again."""

    parsed: Any = None

    async def json(self) -> Any:
        """What `read_json` has made of the body."""
        return self.parsed


def read_json(content_type: str, body: bytes) -> Any:
    """The body as JSON; `RefusedError` 415 if it is not said to be, 400 if it is none (RFC 8259) or repeats a name."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise RefusedError(415, "send JSON, and say so: Content-Type: application/json")
    if body.count(b",") > _MOST_COMMAS:
        raise RefusedError(413, f"the body has more than {_MOST_COMMAS} commas: send it in parts")
    try:
        return json.loads(body, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
    except RecursionError:
        raise RefusedError(400, "the body is not JSON that can be read: it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise RefusedError(400, f"the body is not JSON: {error.msg} at character {error.pos + 1}") from None
    except ValueError as error:  # not UTF-8, a number of thousands of digits, or one of ours
        raise RefusedError(400, f"the body is not JSON: {str(error)[:200]}") from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A name that is there twice would be read as the last one."""
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise ValueError(f"{twice[:100]!r} is there twice")
    return made


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is none of its numbers")
