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
_MOST_LINES = 300


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
    same_before, same_after = _same(old, new)
    return Change(name, _lines(old, same_before), _lines(new, same_after), is_code)


def _same(old: Sequence[str], new: Sequence[str]) -> tuple[set[int], set[int]]:
    """The numbers of the lines that both sides have, in that order: at both ends, and, of not too many, in between."""
    most = min(len(old), len(new))
    head = next((at for at in range(most) if old[at] != new[at]), most)
    tail = next((at for at in range(most - head) if old[-1 - at] != new[-1 - at]), most - head)
    first, last = old[head : len(old) - tail], new[head : len(new) - tail]
    same = [*((at, at) for at in range(head)), *((len(old) - at, len(new) - at) for at in range(1, tail + 1))]
    if len(first) + len(last) <= _MOST_LINES:  # comparing takes time that grows with the cube of that
        for block in SequenceMatcher(None, first, last, autojunk=False).get_matching_blocks():
            same += [(head + block.a + at, head + block.b + at) for at in range(block.size)]
    return {before for before, _ in same}, {after for _, after in same}


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
