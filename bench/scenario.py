"""Scenarios: one file in `scenarios/` each, found by its name, in
which an underscore stands for a hyphen.

A scenario module has a docstring, whose first line says what it measures; `Options`, a frozen dataclass of numbers with
defaults made by `option()`; `SMALL`, the options of the quick form; and `run(stage, options)`. Where it needs a system
that is started in a special way, it has `environment(folder, sink_url, options)` as well, and gets one of its own.
Where its options say how many processes the system has, it has `wishes(options)`.
"""

from __future__ import annotations

import argparse
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from bench import scenarios
from bench.result import Result
from bench.stage import Stage
from include.local.run import Wishes


def option(default: Any, meaning: str) -> Any:
    """A field of a scenario's `Options`, which is also an option of the command line."""
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario, by the name of its file."""

    name: str
    module: ModuleType

    @property
    def summary(self) -> str:
        return (self.module.__doc__ or "").partition("\n")[0].rstrip(".")

    @property
    def has_own_system(self) -> bool:
        return hasattr(self.module, "environment")

    def environment(self, folder: Path, sink_url: str, options: Any) -> Mapping[str, str]:
        """The settings that its system needs on top."""
        made: Mapping[str, str] = self.module.environment(folder, sink_url, options) if self.has_own_system else {}
        return made

    def wishes(self, options: Any) -> Wishes:
        """How many of what its system has."""
        wanted: Wishes = self.module.wishes(options) if hasattr(self.module, "wishes") else Wishes()
        return wanted

    def run(self, stage: Stage, options: Any) -> Result:
        result: Result = self.module.run(stage, options)
        return result

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        defaults, small = self.module.Options(), self.module.SMALL
        for one in fields(defaults):
            ordinary, quick = getattr(defaults, one.name), getattr(small, one.name)
            parser.add_argument(
                "--" + one.name.replace("_", "-"),
                dest=one.name,
                type=type(ordinary),
                metavar="FILE" if isinstance(ordinary, str) else "N",
                help=f"{one.metadata['meaning']} (default: {ordinary or 'none'}; with --small: {quick or 'none'})",
            )

    def options(self, given: argparse.Namespace) -> Any:
        """The defaults, or the small ones, with what was given on the command line."""
        start = self.module.SMALL if given.small else self.module.Options()
        named = {one.name: getattr(given, one.name, None) for one in fields(start)}
        return replace(start, **{name: value for name, value in named.items() if value is not None})


def all_scenarios() -> dict[str, Scenario]:
    """Every scenario by name."""
    names = sorted(found.name for found in pkgutil.iter_modules(scenarios.__path__))
    modules = {name.replace("_", "-"): import_module(f"bench.scenarios.{name}") for name in names}
    return {name: Scenario(name, module) for name, module in modules.items()}
