"""What `timers` and `timers-kill` have in common: many timers, so many a second, and what becomes of each."""

from __future__ import annotations

from datetime import timedelta

from bench.calls import percentile
from bench.result import Result
from bench.sink_process import Sink
from bench.stage import Stage, next_second
from bench.timer_calls import TimerTally, tally_timers

_AHEAD_SECONDS = 10
_LONGEST_ARMING = 120


class Timers:
    """`count` timers, `rate` of them due each second from ten seconds after the pumps are on duty."""

    def __init__(self, stage: Stage, sink: Sink, *, count: int, rate: int) -> None:
        self._stage = stage
        self._sink = sink
        stage.wait("pumps on duty", stage.rows.pumps, 1, seconds=_LONGEST_ARMING)
        self.first = next_second(_AHEAD_SECONDS)
        self.end = self.first + timedelta(seconds=count / rate)
        self.dues = stage.rows.insert_timers(count, sink.url, first=self.first, gap=timedelta(seconds=1) / rate)

    def wait(self, *, seconds: float) -> None:
        """Return when every timer has an end in the database."""
        self._stage.wait("timers ended", self._ended, len(self.dues), seconds=seconds)

    def tally(self) -> TimerTally:
        return tally_timers(self.dues, self._sink.timer_calls())

    def report(self, result: Result) -> TimerTally:
        """Write down what the sink saw, and demand what must hold whatever happens: all fired, none early."""
        seen, states = self.tally(), self._stage.rows.timers()
        result.note(
            expected=seen.expected,
            fired=seen.fired,
            ledger_rows=states.get("fired", 0),
            duplicates=seen.duplicates,
            early=seen.early,
            lost=seen.lost,
            lateness_p50_s=percentile(seen.lateness, 0.5),
            lateness_p99_s=percentile(seen.lateness, 0.99),
        )
        result.extra |= {"timers": seen.expected, "timers_by_status": states}
        result.demand(seen.expected > 0, "nothing was due, so nothing was measured")
        result.demand(seen.early == 0, f"{seen.early} timers fired early")
        result.demand(seen.lost == 0, f"{seen.lost} of {seen.expected} timers did not fire")
        result.demand(states == {"fired": seen.expected}, f"the timers' rows say {states}")
        return seen

    def _ended(self) -> int:
        return sum(count for status, count in self._stage.rows.timers().items() if status not in ("pending", "firing"))
