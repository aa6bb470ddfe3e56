"""Time zones by the rules of the pinned package `tzdata`, the same on every machine, and not by its operating system's.

Governments change rules a few times a year. Two machines with other rules would fire one job at other instants, and a
machine that nobody updates fires an hour late: docs/decisions/0024-time-zones.md
"""

from __future__ import annotations

import difflib
from functools import cache, lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from include.errors import ConfigError

_PACKAGE = files("tzdata")


@cache
def zone_names() -> frozenset[str]:
    """Every name that a row may give to its zone, such as `Europe/Berlin`."""
    return frozenset(_PACKAGE.joinpath("zones").read_text("utf-8").split())


@lru_cache(maxsize=1024)
def zone_named(name: str) -> ZoneInfo:
    """The zone; `ConfigError` for a name that is not in the database, with the names that are nearest to it."""
    if name in zone_names():
        with _PACKAGE.joinpath("zoneinfo", *name.split("/")).open("rb") as rules:
            return ZoneInfo.from_file(rules, key=name)
    by_lower = {known.lower(): known for known in zone_names()}
    near = [by_lower[key] for key in difflib.get_close_matches(name.lower(), by_lower, cutoff=0.5)]
    hint = f"did you mean {' or '.join(near)}?" if near else "write a name such as 'Europe/Berlin' or 'UTC'"
    raise ConfigError(f"unknown time zone {name!r}; {hint}")
