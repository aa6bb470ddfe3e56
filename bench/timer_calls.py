"""The calls of timers as the sink saw them: did each fire, once, and never early? Pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class TimerCall(NamedTuple):
    """One call: when it came (seconds since the epoch), and which timer it was for."""

    arrival: float
    timer_id: int


def parse_timer_calls(dump: str) -> list[TimerCall]:
    """The calls of a dump whose webhook-id is `timer_<id>`; others are left out."""
    calls = []
    for line in dump.splitlines():
        arrival, _, _, key, _ = line.split(",", 4)
        name, _, number = key.partition("_")
        if name == "timer" and number.isdecimal():
            calls.append(TimerCall(float(arrival), int(number)))
    return calls


@dataclass(frozen=True, slots=True)
class TimerTally:
    """How the calls compare with what was due; `lateness` is that of each timer's first call, sorted."""

    expected: int
    fired: int
    duplicates: int
    early: int
    lateness: Sequence[float]

    @property
    def lost(self) -> int:
        return self.expected - self.fired


def tally_timers(dues: Mapping[int, float], calls: Iterable[TimerCall]) -> TimerTally:
    """Compare the calls with when each timer was due (seconds since the epoch); calls of other timers are left out."""
    firsts: dict[int, float] = {}
    duplicates = 0
    for call in calls:
        if call.timer_id in dues:
            duplicates += call.timer_id in firsts
            firsts[call.timer_id] = min(call.arrival, firsts.get(call.timer_id, call.arrival))
    lateness = sorted(arrival - dues[timer_id] for timer_id, arrival in firsts.items())
    early = sum(late < 0 for late in lateness)
    return TimerTally(len(dues), len(firsts), duplicates, early, lateness)
