"""Run a command on a worker: off, unless its operator sets MILLRACE_ALLOW_SHELL=1.

A text is run by `/bin/sh -c`; a list is a program and its arguments, without a shell. A workflow hands records over in
`environment`, and the command says `"$TITLE"`: within it, whoever makes a record could write commands.

The exit code decides; other codes than those expected are retried, unless they are in `no_retry_on`. The command is
given the settings of `environment`, PATH, HOME, USER, LANG, LC_ALL, TZ, TMPDIR and LD_LIBRARY_PATH of the worker, and
MILLRACE_KEY (the same for every attempt), MILLRACE_DUE and MILLRACE_ATTEMPT; nothing else, for the worker's own
environment holds secrets. What it writes is in the task's log, line by line, and the end of it in the ledger. When its
time is up, or its task or worker ends, it ends with everything that it started; so does what it leaves running.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from include import model
from include.actions._process import Command, environment_of, run
from include.errors import ConfigError, PermanentError, RetryableError
from include.model import Call, Output
from include.settings import settings

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _check_text(value: str) -> str:
    if "\x00" in value:
        raise ValueError("write it without the character NUL")
    return value


def _check_directory(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("write an absolute path")
    return _check_text(value)


def _check_environment(environment: dict[str, str]) -> dict[str, str]:
    for name, value in environment.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a variable's name; write letters, digits and underscores")
        if name.startswith("MILLRACE_"):
            raise ValueError(f"leave out {name}: Millrace writes what begins with MILLRACE_")
        _check_text(value)
    return environment


# One argument, and one variable with its name, may have 128 KiB on Linux (execve(2)).
Text = Annotated[str, Field(max_length=30_000), AfterValidator(_check_text)]
ExitCode = Annotated[int, Field(ge=0, le=255)]


# Run as it is written: values are in the environment.
CODE_FIELD = "command"


class Config(model.Config):
    command: Annotated[Text, Field(min_length=1)] | Annotated[list[Text], Field(min_length=1, max_length=1000)] = Field(
        description="What to run: a text, by /bin/sh, or a list of a program and its arguments, without a shell."
    )
    environment: Annotated[dict[str, Text], Field(max_length=64), AfterValidator(_check_environment)] = Field(
        default_factory=dict, description="Variables to set for it, by name. They are not secret: they are in the row."
    )
    working_directory: Annotated[Text, AfterValidator(_check_directory)] | None = Field(
        default=None, description="The directory to run it in, as an absolute path; if not given, the worker's home."
    )
    expect_exit_code: ExitCode | Annotated[list[ExitCode], Field(min_length=1)] = Field(
        default=0, description="The exit code, or the exit codes, that count as success."
    )
    no_retry_on: list[ExitCode] = Field(
        default_factory=list, description="Exit codes that are not retried; 128 + n is what signal n makes of it."
    )

    @field_validator("command", mode="before")
    @classmethod
    def _is_allowed(cls, value: object) -> object:
        try:
            allowed = settings().allow_shell
        except ConfigError:  # a command line that does not know the system's settings: its processes will judge
            return value
        # Not a ValueError: nothing is wrong with the command.
        _refuse_unless(allowed)
        return value


def act(call: Call[Config]) -> Output:
    """Return the exit code if it is an expected one."""
    config = call.config
    _refuse_unless(settings().allow_shell)
    call.sent["command"] = config.command if isinstance(config.command, str) else shlex.join(config.command)
    ended = run(
        Command(
            arguments=["/bin/sh", "-c", config.command] if isinstance(config.command, str) else config.command,
            environment={**environment_of(call), **config.environment},
            directory=config.working_directory or _home(),
            timeout_seconds=call.timeout_seconds,
        )
    )
    code = ended.exit_code
    expected = config.expect_exit_code if isinstance(config.expect_exit_code, list) else [config.expect_exit_code]
    if code in expected:
        return Output(line=str(ended), code=code, excerpt=ended.excerpt)
    line = f"{ended}: expected {' or '.join(map(str, expected))}"
    if code in config.no_retry_on:
        raise PermanentError(line, code=code, excerpt=ended.excerpt)
    raise RetryableError(line, code=code, excerpt=ended.excerpt)


def _refuse_unless(allowed: bool) -> None:
    if not allowed:
        raise ConfigError(
            "kind 'shell' is off: whoever operates this system can set MILLRACE_ALLOW_SHELL=1 and start it again"
        )


def _home() -> str:
    """Where a command runs that does not say where: at home, as cron has it."""
    home = os.path.expanduser("~")
    return home if os.path.isdir(home) else "/"
