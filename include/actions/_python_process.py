"""The process in which a function of a user's own runs (`python -m include.actions._python_process`).

Its standard input is a socket. It reads what to call from there, calls it, and writes the answer back as JSON:
`result`, or `error` (a class of `include.errors`) with `message`, `code`, `excerpt` and `after_seconds`.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import math
import os
import sys
import traceback
from collections.abc import Awaitable
from typing import Any

from include.errors import AttemptError, ConfigError, PermanentError, RateLimitedError, RetryableError
from include.user_function import user_function

RESULT_BYTES = 64 * 1024
_MESSAGE_CHARACTERS = 1_000
_EXCERPT_CHARACTERS = 2_000
_TRACEBACK_FRAMES = 20
# The most particular first.
_REMEDIES: tuple[type[Exception], ...] = (RateLimitedError, RetryableError, PermanentError, ConfigError)


def main() -> None:
    """Read the order, do it, answer."""
    with os.fdopen(0, "rb", closefd=False) as channel:
        order = json.load(channel)
    # Out of reach of the function and of what it starts: nobody reads the order again, nor answers in our place.
    answers = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # it is what Python has made it
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    answer = json.dumps(_answer(order)).encode()
    with os.fdopen(answers, "wb") as channel:
        channel.write(answer)


def _answer(order: dict[str, Any]) -> dict[str, Any]:
    name = order["function"]
    try:
        result = _call(order)
    except _REMEDIES as error:
        return _error(error)
    except BaseException as error:  # whatever it is, SystemExit included, it is the function's failure
        traceback.print_exc(limit=-_TRACEBACK_FRAMES)
        return _error(RetryableError(f"{name} raised {''.join(traceback.format_exception_only(error)).strip()}"))
    try:
        size = len(json.dumps(result, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        what = type(result).__name__
        return _error(PermanentError(f"{name} returned {what}, which is not JSON ({error}); return JSON or None"))
    if size > RESULT_BYTES:
        return _error(PermanentError(f"{name} returned {size} bytes of JSON; return at most {RESULT_BYTES}"))
    return {"result": result}


def _call(order: dict[str, Any]) -> Any:
    function = user_function(order["package"], order["function"])
    arguments = dict(order["arguments"])
    if order["connection"] is not None:
        from include.model import Connection  # which takes 0.1 s

        arguments["connection"] = Connection(**order["connection"])
    signature = inspect.signature(function)
    if "occurrence" in signature.parameters:
        arguments["occurrence"] = order["occurrence"]
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise ConfigError(f"{order['function']}: {error}; write arguments that it takes") from None
    result = function(**arguments)
    return asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result


def _error(error: Exception) -> dict[str, Any]:
    kind = next(kind for kind in _REMEDIES if isinstance(error, kind))
    answer: dict[str, Any] = {"error": kind.__name__, "message": str(error)[:_MESSAGE_CHARACTERS], "code": None}
    answer |= {"excerpt": None, "after_seconds": None}
    if isinstance(error, AttemptError):
        answer["code"] = error.code if isinstance(error.code, int) else None
        answer["excerpt"] = None if error.excerpt is None else str(error.excerpt)[-_EXCERPT_CHARACTERS:]
    if isinstance(error, RetryableError):
        answer["after_seconds"] = _seconds(error.after_seconds)
    return answer


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


if __name__ == "__main__":
    main()
