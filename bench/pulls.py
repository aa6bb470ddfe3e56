"""What the source saw of the pulls, compared with when they were due. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from bench.calls import percentile


class Asked(NamedTuple):
    """One request for records: when it came, for which feed (empty: the items), and how many records that had then."""

    arrival: float
    feed: str
    size: int


def parse_asked(dump: str) -> list[Asked]:
    """The requests of the source's dump."""
    rows = (line.split(",") for line in dump.splitlines())
    return [Asked(float(arrival), feed, int(size)) for arrival, feed, size in rows]


def sizes_at(asked: Iterable[Asked], instant: float) -> dict[str, int]:
    """How many records each feed had at that time."""
    return {one.feed: one.size for one in sorted(asked) if one.arrival <= instant}


@dataclass(frozen=True, slots=True)
class PullTally:
    """How the pulls compare with when they were due; `unasked` came without being due."""

    expected: int
    pulled: int
    unasked: int
    lateness: Sequence[float]

    @property
    def missed(self) -> int:
        return self.expected - self.pulled

    def lateness_at(self, share: float) -> float | None:
        return percentile(self.lateness, share)


def tally_pulls(due: Mapping[str, Sequence[float]], asked: Sequence[Asked]) -> PullTally:
    """Compare the requests with the instants at which each feed was due, in order; the last one is only the border.

    The first request between an instant and the next is the pull that was due; another one there was not asked for.
    """
    arrivals: dict[str, list[float]] = {feed: [] for feed in due}
    for one in sorted(asked):
        if one.feed in arrivals:
            arrivals[one.feed].append(one.arrival)
    late: list[float] = []
    unasked = 0
    for feed, instants in due.items():
        for instant, border in pairwise(instants):
            came = [arrival for arrival in arrivals[feed] if instant <= arrival < border]
            late += [came[0] - instant] if came else []
            unasked += max(len(came) - 1, 0)
    expected = sum(max(len(instants) - 1, 0) for instants in due.values())
    return PullTally(expected, len(late), unasked, sorted(late))
