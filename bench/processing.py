"""What `workflows` and `faults` have in common: users' workflows with a backlog, and what becomes of each record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import psycopg

from bench.record_calls import RecordTally, tally_records
from bench.result import Result
from bench.rows import NewConnector, NewWorkflow
from bench.sink_process import Sink
from bench.stage import Stage
from include.errors import RetryableError
from include.model import Connector, Workflow

_EVERY = timedelta(seconds=1)
_LONGEST_ARMING = 300


class Backlog:
    """Workflows of as many users on one connector, on duty, with `records` records to come."""

    def __init__(self, stage: Stage, sink: Sink, *, workflows: int, records: int) -> None:
        """Return when all are armed; there is nothing for them to do yet."""
        self._stage = stage
        self._sink = sink
        self.records = records
        self.connector = _connector(stage, sink)
        self.workflows = self._insert(workflows)
        self.armed_s = stage.wait_until_armed(self.workflows, seconds=_LONGEST_ARMING)

    @property
    def total(self) -> int:
        """How many calls there are to be made."""
        return self.records * len(self.workflows)

    def begin(self) -> None:
        """Append the records. Whoever is on duty finds them at the next occurrence."""
        self._stage.rows.append(self.connector, self.records)

    def wait(self, *, seconds: float) -> None:
        """Return when every workflow has processed every record."""
        self._stage.wait("records processed", self._processed, self.total, seconds=seconds)

    def tally(self) -> RecordTally:
        calls = self._sink.record_calls(workflow.id for workflow in self.workflows)
        connector_of = {workflow.id: self.connector.id for workflow in self.workflows}
        return tally_records(calls, connector_of, range(1, self.records + 1))

    def report(self, result: Result, seen: RecordTally) -> None:
        """Write down what the sink saw, and demand what must hold whatever happens: all were sent, in order."""
        overlaps = self._sink.count("overlaps")
        progress = self._stage.rows.progress(self.workflows)
        result.note(
            expected=seen.expected,
            fired=seen.fired,
            duplicates=seen.duplicates,
            armed_s=self.armed_s,
            records=seen.fired,
            records_per_s=seen.fired / seen.seconds if seen.seconds else None,
            lost=seen.lost,
            out_of_order=seen.out_of_order,
        )
        result.extra |= {"workflows": len(self.workflows), "overlaps": overlaps, "seconds": round(seen.seconds, 2)}
        result.demand(seen.lost == 0, f"{seen.lost} of {seen.expected} records were not sent")
        result.demand(seen.out_of_order == 0, f"{seen.out_of_order} records were sent after a later one")
        result.demand(seen.foreign == 0, f"{seen.foreign} calls were for records that are not the workflow's")
        result.demand(overlaps == 0, f"{overlaps} calls were made before the same workflow's last one was answered")
        result.demand(progress.dead_letters == 0, f"{progress.dead_letters} records were given up")
        result.demand(
            progress.processed == self.total, f"{progress.processed} of {self.total} records are processed by the book"
        )

    def _insert(self, count: int) -> Sequence[Workflow]:
        wishes = [
            NewWorkflow(f"workflow {number}", f"user{number}@example.com", self.connector, self._sink.url, _EVERY)
            for number in range(count)
        ]
        return self._stage.rows.insert_workflows(wishes)

    def _processed(self) -> int:
        try:
            return self._stage.rows.progress(self.workflows).processed
        except (psycopg.OperationalError, RetryableError):  # while the database is down
            return 0


def _connector(stage: Stage, sink: Sink) -> Connector:
    """A connector that is never pulled: its records are appended by SQL."""
    [connector] = stage.rows.insert_connectors([NewConnector("backlog", {"base_url": sink.url, "path": "none"})])
    return connector
