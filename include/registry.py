"""A kind is a file: `include/actions/<kind>.py` implements jobs of that kind, and nothing else lists it."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from include.errors import ConfigError
from include.model import Call, Config, Job, Output

_ACTIONS = Path(__file__).parent / "actions"


@dataclass(frozen=True, slots=True)
class Action:
    """What a job of one kind does: `config` is the shape of its payload, `act` does the work in the triggerer."""

    kind: str
    config: type[Config]
    act: Callable[[Call[Any]], Awaitable[Output]]
    summary: str

    def parse(self, payload: dict[str, Any]) -> Config:
        """Return the payload as the kind's settings, or raise `ConfigError` naming every field that does not fit."""
        try:
            return self.config.model_validate(payload)
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(str(part) for part in problem['loc']) or 'payload'}: {problem['msg']}"
                for problem in error.errors(include_url=False, include_input=False)
            )
            raise ConfigError(f"the payload does not fit kind {self.kind!r}: {problems}") from error


@cache
def action_kinds() -> tuple[str, ...]:
    """The kinds that jobs can have, sorted; a file whose name starts with `_` is not a kind."""
    return tuple(sorted(file.stem for file in _ACTIONS.glob("*.py") if not file.stem.startswith("_")))


@cache
def action(kind: str) -> Action:
    """Return the action of a kind, or raise `ConfigError` that lists the kinds there are."""
    if kind not in action_kinds():
        close = difflib.get_close_matches(kind, action_kinds(), n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(f"unknown kind {kind!r}; {hint}there are: {', '.join(action_kinds())}")
    module = import_module(f"include.actions.{kind}")
    summary = (module.__doc__ or "").strip().partition("\n")[0]
    return Action(kind=kind, config=module.Config, act=module.act, summary=summary)


def vet(job: Job) -> None:
    """Raise `ConfigError` if the job could not run: its schedule, its kind or its payload is wrong."""
    job.schedule.validate()
    action(job.kind).parse(job.payload)
