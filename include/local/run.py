"""What is known of the system that runs in a home: written by its supervisor, read by every command."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from include.errors import ConfigError, MillraceError
from include.local.files import write_private
from include.local.home import Home
from include.local.processes import Identity

Executor = Literal["local", "celery"]
MOST = 16  # schedulers, or triggerers, on one machine


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asked for: a port (None: 8080, or the next one that is free), whether to show the demo, how many.

    `executor`: what runs on workers runs in processes of the scheduler's, or in a Celery worker, by way of Redis.
    """

    port: int | None = None
    demo: bool = True
    schedulers: int = 1
    triggerers: int = 1
    executor: Executor = "local"

    def __post_init__(self) -> None:
        for what, number in (("schedulers", self.schedulers), ("triggerers", self.triggerers)):
            if not 1 <= number <= MOST:
                raise ConfigError(f"{what}: from 1 to {MOST}, not {number}")
        if self.executor not in get_args(Executor):
            raise ConfigError(f"executor: {' or '.join(get_args(Executor))}, not {self.executor!r}")


@dataclass(frozen=True, slots=True)
class Component:
    """One supervised process: who it is now, since when, and how often it had to be started again."""

    identity: Identity
    started_at: str
    restarts: int


@dataclass(frozen=True, slots=True)
class Run:
    """A system that is coming up, or (`ready`) is up, as long as its supervisor is alive."""

    supervisor: Identity
    url: str
    user: str
    password: str
    database_url: str
    demo: bool
    ready: bool = False
    components: dict[str, Component] = field(default_factory=dict)

    @classmethod
    def of(cls, home: Home) -> Run | None:
        """What was last written, whether or not it still runs; None if nothing was, or it ended in order."""
        try:
            text = home.run_file.read_text()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise MillraceError(f"{home.run_file} cannot be read: {error.strerror}; who started it can") from error
        try:
            return cls._parse(json.loads(text))
        except (ValueError, TypeError, KeyError) as error:
            raise MillraceError(
                f"{home.run_file} was written by another version; end what runs, then remove it"
            ) from error

    @classmethod
    def _parse(cls, facts: dict[str, Any]) -> Run:
        components = {
            name: Component(**{**component, "identity": Identity(**component["identity"])})
            for name, component in facts["components"].items()
        }
        return cls(**{**facts, "supervisor": Identity(**facts["supervisor"]), "components": components})

    def write(self, home: Home) -> None:
        write_private(home.run_file, json.dumps(asdict(self), indent=2))

    def is_supervised(self) -> bool:
        return self.supervisor.is_alive()
