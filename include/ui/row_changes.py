"""A change of a row, field by field, as people can read it: what was, what is, and in JSON which lines differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from difflib import SequenceMatcher
from typing import Any

from include.times import spell_duration
from include.ui.templates import pretty

_DURATIONS = frozenset(
    ("every", "jitter", "max_lateness", "timeout", "probe_every", "retry_delay", "retry_max_delay", "min_interval")
)
_MOST_LINES = 2_000


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a value; `is_changed`: the other side does not have it."""

    text: str
    is_changed: bool


@dataclass(frozen=True, slots=True)
class Change:
    """One field: its lines before and after, None where it had, or has, no value; `is_code`: they are JSON."""

    name: str
    before: tuple[Line, ...] | None
    after: tuple[Line, ...] | None
    is_code: bool


def shown(changes: Mapping[str, Sequence[Any]]) -> list[Change]:
    """The `changes` of an entry of the audit."""
    return [_change(name, before, after) for name, (before, after) in changes.items()]


def _change(name: str, before: Any, after: Any) -> Change:
    is_code = any(isinstance(value, Mapping | list) for value in (before, after))
    old, new = (None if value is None else _spell(name, value).splitlines() or [""] for value in (before, after))
    if old is None or new is None:
        return Change(name, _all_changed(old), _all_changed(new), is_code)
    if len(old) + len(new) > _MOST_LINES:  # comparing takes time that grows with their product
        return Change(name, _all_changed(old), _all_changed(new), is_code)
    kept = SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    same_before = {block.a + at for block in kept for at in range(block.size)}
    same_after = {block.b + at for block in kept for at in range(block.size)}
    return Change(name, _lines(old, same_before), _lines(new, same_after), is_code)


def _spell(name: str, value: Any) -> str:
    if name in _DURATIONS and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return spell_duration(timedelta(seconds=value))
        except OverflowError:
            return pretty(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return pretty(value)


def _all_changed(lines: Sequence[str] | None) -> tuple[Line, ...] | None:
    return None if lines is None else _lines(lines, set())


def _lines(lines: Sequence[str], same: set[int]) -> tuple[Line, ...]:
    return tuple(Line(text, number not in same) for number, text in enumerate(lines))
