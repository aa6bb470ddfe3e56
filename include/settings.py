"""Settings come from the environment, are read once, and are frozen.

Every setting has a default that works on one machine; `docs/operations.md` lists them all. Variables that Airflow reads
itself (`AIRFLOW__…`) are in `config/airflow.env` and not here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from include.errors import ConfigError
from include.host import plain_host

_PREFIX = "MILLRACE_"


class _Notify(BaseModel):
    """As the `notify` of a row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    payload: dict[str, Any] = {}
    on: tuple[Literal["failure", "recovery", "missed", "warning", "disabled"], ...] = ("warning", "recovery")
    after: int = Field(default=1, ge=1)


class Settings(BaseModel):
    """What an operator may set; field `x` is read from the variable `MILLRACE_X`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: str = Field(description="The PostgreSQL database that holds the rows and the ledger.")
    egress_allow: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(), description="Special networks that calls may reach all the same, as CIDR, comma-separated."
    )
    egress_hosts: tuple[str, ...] = Field(
        default=(),
        description="If given, the only hosts that calls may go to, comma-separated; `*.a.com` is every host below.",
    )
    egress_ports: tuple[tuple[int, int], ...] = Field(
        default=(), description="If given, the only ports that HTTP calls may go to: `443,8000-8999`."
    )
    lead_seconds: float = Field(
        default=25.0, ge=0, le=600, description="How long before its first occurrence a shift is on duty."
    )
    shift_seconds: int = Field(
        default=14_400,
        ge=60,
        le=86_400,
        description="How long a shift of a schedule lasts that is due every minute or more often.",
    )
    lease_seconds: float = Field(
        default=8.0, ge=2, le=300, description="How long after its last sign of life an owner's claims are its own."
    )
    concurrency: int = Field(
        default=1000, ge=1, le=100_000, description="How many calls one triggerer has under way at once."
    )
    ledger_days: int = Field(
        default=30, ge=1, le=3650, description="How many days back missed occurrences are written after a downtime."
    )

    keep_executions_days: int = Field(
        default=90, ge=1, le=36_500, description="How many days what became of jobs and timers is kept."
    )
    keep_records_days: int = Field(
        default=30, ge=1, le=36_500, description="How many days records are kept that all workflows are through with."
    )
    keep_keys_days: int = Field(
        default=365, ge=1, le=36_500, description="How many days a removed record is known after its source showed it."
    )
    keep_audit_days: int = Field(default=365, ge=1, le=36_500, description="How many days the audit is kept.")
    keep_runs_days: int = Field(
        default=7, ge=1, le=36_500, description="How many days Airflow's runs and logs are kept."
    )

    pull_pages: int = Field(default=1000, ge=1, le=1_000_000, description="The most pages in one pull.")
    pull_mib: int = Field(default=256, ge=1, le=65_536, description="The most MiB of records in one pull.")
    pull_seconds: int = Field(default=300, ge=1, le=86_400, description="The longest that one pull may take.")
    user_code: str = Field(
        default="include.user_code", description="The package that the functions of `python` rows must be in."
    )

    allow_shell: bool = Field(default=False, description="Whether jobs and workflows of kind `shell` may run.")
    pumps: int = Field(default=2, ge=1, le=64, description="How many pumps, over all triggerers, fire timers.")
    notice_gather_seconds: float = Field(
        default=10.0, ge=0, le=3600, description="How long the first notice waits for others, to be one message."
    )
    notice_quiet_seconds: float = Field(
        default=300.0, ge=0, le=86_400, description="The least time between two messages to the same place."
    )

    watchdog_seconds: float = Field(
        default=60.0, ge=5, le=3600, description="How often the watchdog looks for what has gone quiet."
    )
    notify: str | None = Field(
        default=None, repr=False, description="Whom to tell of the system's own warnings, as JSON like a row's notify."
    )
    disk_free_percent: float = Field(
        default=10.0, ge=0, le=100, description="There is a warning of a disk of which less is free, in percent,"
    )
    disk_free_gib: float = Field(default=1.0, ge=0, le=1_000_000, description="or less in GiB.")

    admins: tuple[str, ...] = Field(
        default=(), description="Users who are admins here whatever their role in Airflow, comma-separated."
    )
    admin_kinds: tuple[str, ...] = Field(
        default=("shell",), description="Kinds that only admins may put into rows through the API, comma-separated."
    )

    hook_kib: int = Field(default=1024, ge=1, le=65_536, description="The largest body that may be pushed, in KiB.")

    metrics_token: str | None = Field(
        default=None, min_length=1, repr=False, description="If given, what /metrics demands as a bearer token."
    )
    metrics_jobs: int = Field(
        default=200, ge=0, le=10_000, description="How many jobs, connectors and workflows /metrics tells apart."
    )

    @field_validator("egress_allow", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(ip_network(part, strict=False) for part in _parts(value))

    @field_validator("admins", "admin_kinds", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        return tuple(_parts(value)) if isinstance(value, str) else value

    @field_validator("egress_hosts", mode="before")
    @classmethod
    def _hosts(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(_host_pattern(part) for part in _parts(value))

    @field_validator("egress_ports", mode="before")
    @classmethod
    def _ports(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(_span(part) for part in _parts(value))

    @field_validator("notify")
    @classmethod
    def _notify(cls, value: str | None) -> str | None:
        return None if value is None else _Notify.model_validate_json(value).model_dump_json()

    @property
    def lead(self) -> timedelta:
        return timedelta(seconds=self.lead_seconds)


def _parts(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _host_pattern(text: str) -> str:
    """A host as `plain_host` spells it, without a dot at its end; or `*.` and the name that others are below."""
    below = "*." if text.startswith("*.") else ""
    try:
        host = plain_host(text.removeprefix(below))
        if below:
            plain_host(f"a.{host}")  # an address has no names below it
    except ValueError:
        raise ValueError(f"{text!r} is not a host; write such as: example.com,*.example.org,192.0.2.1") from None
    return below + host.removesuffix(".")


def _span(text: str) -> tuple[int, int]:
    """First and last of a span of ports."""
    match = re.fullmatch(r"([0-9]{1,5})(?:\s*-\s*([0-9]{1,5}))?", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= first <= last <= 65_535:
        raise ValueError(f"{text!r} is not a port or a span of ports; write such as: 443,8000-8999")
    return first, last


@cache
def settings() -> Settings:
    """The settings of this process, read on first use; `ConfigError` names the variable that is wrong."""
    return settings_of(os.environ)


def settings_of(environment: Mapping[str, str]) -> Settings:
    """The settings that a process with this environment has; `ConfigError` names the variable that is wrong."""
    values = {
        name: environment[_PREFIX + name.upper()]
        for name in Settings.model_fields
        if _PREFIX + name.upper() in environment
    }
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(
            f"{_PREFIX}{str(problem['loc'][0]).upper()}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)
        )
        raise ConfigError(f"settings: {problems}") from error
