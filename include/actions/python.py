"""Run a Python function of your own, on a worker, in a process of its own: any library, and it may block.

The function is named `module:function`, in the package `include.user_code` (`MILLRACE_USER_CODE`), and is called with
the arguments of the row, by name; with `connection=`, an `include.model.Connection`, if the row names one; and with
`occurrence=`, `{"key", "due", "attempt"}`, if it has a parameter of that name: `key` is the same for every attempt,
`due` is ISO 8601. It may be a coroutine function. What it returns is JSON, and is in the ledger as `result`.

`PermanentError`, `ConfigError` and `RetryableError` of `include.errors` say what to do, as they do in a kind; any other
exception is retried. What it prints and logs is in the task's log. It finds little of the worker's environment, and no
secret there. When its time is up, or its task or worker ends, it ends with everything that it started.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import Field, JsonValue, field_validator

from include import model
from include.actions._process import Command, Ended, environment_of, run
from include.errors import ConfigError, PermanentError, RateLimitedError, RetryableError
from include.model import Call, Output
from include.settings import settings
from include.user_function import PATTERN

_PROJECT = str(Path(__file__).parents[2])
_ERRORS = {error.__name__: error for error in (RetryableError, RateLimitedError, PermanentError)}


# Run as it is written: values are arguments.
CODE_FIELD = "function"
CONF_FIELDS = ("arguments",)


class Config(model.Config):
    function: str = Field(
        pattern=PATTERN, description="The function, as module:function; the module is in the package for user code."
    )
    arguments: dict[str, JsonValue] = Field(default_factory=dict, description="What to call it with, by name.")
    conn_id: str | None = Field(default=None, description="The Airflow connection to hand to it, as `connection`.")

    @field_validator("arguments")
    @classmethod
    def _not_ours(cls, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for name in ("connection", "occurrence"):
            if name in arguments:
                raise ValueError(f"leave out {name}: Millrace hands it over")
        return arguments


def act(call: Call[Config]) -> Output:
    """Return what the function returned."""
    config = call.config
    call.sent["function"] = config.function
    order = {
        "package": settings().user_code,
        "function": config.function,
        "arguments": config.arguments,
        "connection": None if call.connection is None else asdict(call.connection),
        "occurrence": {"key": call.key, "due": call.due.isoformat(), "attempt": call.attempt},
    }
    paths = filter(None, (_PROJECT, os.environ.get("PYTHONPATH")))
    ended = run(
        Command(
            arguments=[sys.executable, "-m", "include.actions._python_process"],
            environment={**environment_of(call), "PYTHONPATH": os.pathsep.join(paths)},
            directory=_PROJECT,
            timeout_seconds=call.timeout_seconds,
            order=json.dumps(order).encode(),
            hide=call.hide,
        )
    )
    return _judge(config.function, ended)


def _judge(function: str, ended: Ended) -> Output:
    """What the process answered, which is a result or an error; without an answer it was ended by something else."""
    try:
        answer = json.loads(ended.answer)
    except (ValueError, RecursionError):
        raise RetryableError(
            f"{function} ended its process, {ended}, and returned nothing", excerpt=ended.excerpt
        ) from None
    if "result" in answer:
        result = _storable(answer["result"])
        return Output(line=f"{function} returned", excerpt=ended.excerpt or None, data={"result": result})
    message = _storable(answer["message"])
    if answer["error"] == ConfigError.__name__:
        raise ConfigError(message)
    code, excerpt, after_seconds = answer["code"], _storable(answer["excerpt"]), answer["after_seconds"]
    error = _ERRORS[answer["error"]]
    more = {"after_seconds": after_seconds} if issubclass(error, RetryableError) else {}
    raise error(message, code=code, excerpt=excerpt or ended.excerpt, **more)


def _storable(value: Any) -> Any:
    """The value as PostgreSQL can store it: without NUL in texts, nor halves of surrogate pairs."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_storable(key): _storable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_storable(inner) for inner in value]
    return value
