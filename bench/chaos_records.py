"""The audit of `chaos`, where it is about records: logs, workflows and their dead letters. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from bench.chaos_audit import SECOND, Line, Send, none_of
from bench.chaos_sink import PICKY_ABOUT
from bench.record_calls import RecordCall, tally_records
from bench.rows import LogFacts


class AuditedWorkflow(NamedTuple):
    """A workflow that began at position 1: how far the book says it is, how far its log goes, what it has given up.

    `picky`: its receiver refuses every seventh record.
    """

    id: int
    connector_id: int
    place: str
    position: int
    head: int
    dead: frozenset[int]
    picky: bool


def audit_logs(facts: Mapping[int, LogFacts], existing: Mapping[int, int]) -> list[Line]:
    """Every record that the source had is in its log, once, in its order; `existing`: how many, by connector."""
    whole, stored = sum(existing.values()), sum(one.keys for one in facts.values())
    missing = [
        f"connector {id}: {facts[id].keys if id in facts else 0} of {number} records"
        for id, number in existing.items()
        if id not in facts or facts[id].keys < number
    ]
    return [
        Line("records of the source in the log", whole, stored, missing),
        none_of(
            "records that are in the log twice", (f"connector {i}" for i, f in facts.items() if f.records > f.keys)
        ),
        none_of(
            "logs out of order, or with gaps",
            (f"connector {i}" for i, f in facts.items() if f.descents or not f.is_gapless),
        ),
    ]


def audit_workflows(workflows: Collection[AuditedWorkflow], sends: Sequence[Send]) -> list[Line]:
    """Every record was sent for each workflow, in order; dead letters are those that were refused, and no others."""
    behind, lost, mixed, strange, letters = [], [], [], [], []
    expected = sent = again = refusals = 0
    for workflow in workflows:
        calls = [call for call in map(_record_call, sends) if call is not None and call.path == workflow.place]
        foreign = [call for call in calls if call.workflow_id != workflow.id]
        seen = tally_records(
            [call for call in calls if call.workflow_id == workflow.id],
            {workflow.id: workflow.connector_id},
            range(1, workflow.head + 1),
        )
        name = f"workflow {workflow.id}"
        expected, sent, again = expected + seen.expected, sent + seen.fired, again + seen.duplicates
        lost += [f"{name}: {seen.lost} of {seen.expected} never sent"] if seen.lost else []
        behind += [f"{name}: at {workflow.position} of {workflow.head}"] if workflow.position != workflow.head else []
        disorder = seen.out_of_order + seen.repeated_late
        mixed += [f"{name}: {disorder} after a later one"] if disorder else []
        strange += [f"{name}: {len(foreign) + seen.foreign}"] if foreign or seen.foreign else []
        refused = frozenset(range(PICKY_ABOUT, workflow.head + 1, PICKY_ABOUT)) if workflow.picky else frozenset[int]()
        refusals += len(refused)
        letters += [f"{name}, position {position}" for position in sorted(refused ^ workflow.dead)]
    dead = sum(len(workflow.dead) for workflow in workflows)
    return [
        Line("records sent, of each workflow", expected, sent, lost),
        none_of("workflows behind their log", behind),
        none_of("workflows that sent out of order", mixed),
        none_of("sends of records that are not the workflow's", strange),
        Line("dead records: those that were refused", refusals, dead, letters),
        Line("records sent again, under the same key", "any", again),
    ]


def _record_call(send: Send) -> RecordCall | None:
    parts = send.key.split(":")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        return None
    return RecordCall(send.at / SECOND, int(parts[0]), int(parts[1]), int(parts[2]), send.place)
