"""The options of a retry policy, the same for everything that is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from include.errors import ConfigError
from include.retry import RetryPolicy
from include.times import parse_duration, spell_duration

_NONE = "none"


def _how(name: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(name, help=help, metavar=metavar, rich_help_panel="How", show_default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOptions:
    """What was written on the command line about retries; None where nothing was."""

    retries: Annotated[int | None, _how("--retries", "How often to try again; 3 if not given.")] = None
    retry_delay: Annotated[str | None, _how("--retry-delay", "The wait before the first retry: 2s if not given.")] = (
        None
    )
    retry_backoff: Annotated[float | None, _how("--retry-backoff", "Each further wait is this many times longer.")] = (
        None
    )
    retry_max_delay: Annotated[str | None, _how("--retry-max-delay", "The longest wait: 1h if not given.")] = None
    retry_jitter: Annotated[
        float | None, _how("--retry-jitter", "Each wait is up to this share longer: 0.1 if not given.")
    ] = None
    no_retry_on: Annotated[
        str | None, _how("--no-retry-on", "HTTP statuses that are not retried, such as 501,505; `none`.", "STATUSES")
    ] = None

    def retry_columns(self) -> dict[str, Any]:
        """The columns that were given."""
        plain = ("retries", "retry_backoff", "retry_jitter")
        given = {name: getattr(self, name) for name in plain if getattr(self, name) is not None}
        if self.retry_delay is not None:
            given["retry_delay"] = parse_duration(self.retry_delay, "--retry-delay")
        if self.retry_max_delay is not None:
            given["retry_max_delay"] = parse_duration(self.retry_max_delay, "--retry-max-delay")
        if self.no_retry_on is not None:
            given["no_retry_on"] = _statuses(self.no_retry_on)
        return given


def spell_retries(policy: RetryPolicy) -> str:
    """A policy in words."""
    if not policy.retries:
        return "none"
    text = f"{policy.retries}, after {spell_duration(policy.delay)}, each wait {policy.backoff:g} times as long"
    text += f" up to {spell_duration(policy.longest)}"
    text += f", and up to {policy.jitter:.0%} longer" if policy.jitter else ""
    return text + (f"; not after {', '.join(map(str, sorted(policy.never_on)))}" if policy.never_on else "")


def _statuses(text: str) -> list[int]:
    parts = [] if text.strip().lower() == _NONE else [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 100 <= int(part) <= 599 for part in parts):
        raise ConfigError(f"--no-retry-on: {text!r} is no list of HTTP statuses; write 501,505, or none")
    return sorted({int(part) for part in parts})
