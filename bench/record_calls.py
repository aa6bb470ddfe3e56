"""The calls of workflows, one a record, as the sink saw them: were all made, once, and in order? Pure arithmetic."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class RecordCall(NamedTuple):
    """One call: when it came, and which record it was for."""

    arrival: float
    workflow_id: int
    connector_id: int
    position: int
    path: str


def parse_record_calls(dump: str) -> list[RecordCall]:
    """The calls of a dump whose webhook-id is `<workflow_id>:<connector_id>:<position>`; others are left out."""
    calls = []
    for line in dump.splitlines():
        arrival, _, _, key, path = line.split(",", 4)
        parts = key.split(":")
        if len(parts) == 3 and all(part.isdecimal() for part in parts):
            calls.append(RecordCall(float(arrival), int(parts[0]), int(parts[1]), int(parts[2]), path))
    return calls


@dataclass(frozen=True, slots=True)
class RecordTally:
    """How the calls compare with the records that there were.

    `lost` were never sent; `duplicates` were sent again, at most `most_duplicates` by one workflow. `out_of_order` came
    after a later one, `repeated_late` again after a later one; `foreign` do not belong to the workflow at all.
    """

    expected: int
    fired: int
    duplicates: int
    most_duplicates: int
    out_of_order: int
    repeated_late: int
    foreign: int
    seconds: float

    @property
    def lost(self) -> int:
        return self.expected - self.fired


def tally_records(
    calls: Sequence[RecordCall], connector_of: Mapping[int, int], positions: Collection[int]
) -> RecordTally:
    """Compare the calls with the positions that each workflow had to process; `connector_of`: by workflow.

    `seconds` is from the first call to the last.
    """
    tracks = {workflow: _Track(connector) for workflow, connector in connector_of.items()}
    for call in sorted(calls):
        tracks[call.workflow_id].add(call)
    arrivals = [call.arrival for call in calls]
    return RecordTally(
        expected=len(positions) * len(tracks),
        fired=sum(len(track.seen & set(positions)) for track in tracks.values()),
        duplicates=sum(track.duplicates for track in tracks.values()),
        most_duplicates=max((track.duplicates for track in tracks.values()), default=0),
        out_of_order=sum(track.out_of_order for track in tracks.values()),
        repeated_late=sum(track.repeated_late for track in tracks.values()),
        foreign=sum(track.foreign + len(track.seen - set(positions)) for track in tracks.values()),
        seconds=max(arrivals) - min(arrivals) if arrivals else 0.0,
    )


class _Track:
    """One workflow's way through its records, call by call."""

    def __init__(self, connector_id: int) -> None:
        self._connector_id = connector_id
        self._last = 0
        self.seen: set[int] = set()
        self.duplicates = self.out_of_order = self.repeated_late = self.foreign = 0

    def add(self, call: RecordCall) -> None:
        if call.connector_id != self._connector_id:
            self.foreign += 1
        elif call.position in self.seen:
            self.duplicates += 1
            self.repeated_late += call.position < self._last
        else:
            self.seen.add(call.position)
            self.out_of_order += call.position < self._last
            self._last = max(self._last, call.position)
