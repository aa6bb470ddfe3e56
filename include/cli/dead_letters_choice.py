"""Which dead letters a command line means: by their ids, or those of a job, of a workflow or of timers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import typer

from include.errors import ConfigError
from include.store import dead_letters, jobs, workflows
from include.store.db import DictConnection
from include.store.edits import LARGEST_ID, Row, is_id
from include.times import parse_past, utcnow

Ids = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="By their ids: 7, job_3_1767225600000000, timer_5.")
]
OfJob = Annotated[str | None, typer.Option("--job", metavar="NAME|ID", help="Only executions of this job.")]
OfWorkflow = Annotated[str | None, typer.Option("--workflow", metavar="NAME|ID", help="Only records of this workflow.")]
OfTimers = Annotated[bool, typer.Option("--timers", help="Only timers.")]
All = Annotated[bool, typer.Option("--all", help="All that are dead.")]
Since = Annotated[
    str | None,
    typer.Option("--since", help="1h: records that died, executions and timers due in the last hour; or ISO 8601."),
]


@dataclass(frozen=True, slots=True)
class Part:
    """The dead letters of one job (by id), of one workflow (by id) or of timers; by default all there are."""

    job_id: int | None = None
    workflow_id: int | None = None
    timers: bool = False

    @property
    def has_records(self) -> bool:
        return self.job_id is None and not self.timers

    @property
    def has_executions(self) -> bool:
        return self.workflow_id is None and not self.timers

    @property
    def has_timers(self) -> bool:
        return self.job_id is None and self.workflow_id is None


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be redriven or discarded; `by_id`: a person named each."""

    by_id: bool
    records: list[Row] = field(default_factory=list)
    executions: list[Row] = field(default_factory=list)
    timers: list[Row] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.records) + len(self.executions) + len(self.timers)


def part_of(db: DictConnection, job: str | None, workflow: str | None, timers: bool) -> Part:
    """What `--job`, `--workflow` and `--timers` leave; `ConfigError` if there is more than one of them."""
    if (job is not None) + (workflow is not None) + timers > 1:
        raise ConfigError("--job, --workflow and --timers are given together; keep one of them")
    if job is not None:
        return Part(job_id=_job_id(db, job))
    if workflow is not None:
        return Part(workflow_id=workflows.find(db, workflow)["id"])
    return Part(timers=timers)


def chosen(
    db: DictConnection,
    ids: Sequence[str],
    job: str | None,
    workflow: str | None,
    timers: bool,
    everything: bool,
    since: str | None,
) -> Choice:
    """Those that the command line names: of ids all, whatever their status; else those that are dead.

    `ConfigError` if it is unclear which are meant, or if there is no such dead letter.
    """
    if ids:
        if everything or since is not None or job is not None or workflow is not None or timers:
            raise ConfigError("write ids alone; --job, --workflow, --timers, --all and --since go without them")
        return _by_ids(db, ids)
    if everything == (since is not None):
        raise ConfigError(
            "write the ids of dead letters, or --all or --since, one of them; --job, --workflow or --timers narrows it"
        )
    first = None if since is None else parse_past(since, "--since", utcnow())
    part = part_of(db, job, workflow, timers)
    return Choice(
        by_id=False,
        records=dead_letters.dead_records(db, part.workflow_id, first) if part.has_records else [],
        executions=dead_letters.of_jobs(db, ["dead"], job_id=part.job_id, since=first) if part.has_executions else [],
        timers=dead_letters.of_timers(db, ["dead"], since=first) if part.has_timers else [],
    )


def found(db: DictConnection, text: str) -> Row:
    """The one dead letter with this id and all that is known of it; `ConfigError` if there is none."""
    name = dead_letters.named(text)
    if name is None and not is_id(text):
        raise ConfigError(f"{text!r} is not the id of a dead letter; write one, or a workflow and a position")
    if name is not None and name.source == "workflow":
        row = dead_letters.by_id(db, name.number)
    else:
        row = next(iter(dead_letters.by_names(db, [name] if name is not None else [])), None)
    if row is None:
        raise _unknown([text])
    return row


def _by_ids(db: DictConnection, ids: Sequence[str]) -> Choice:
    names = {text: dead_letters.named(text) for text in ids}
    rows = dead_letters.by_names(db, {name for name in names.values() if name is not None})
    known = set(map(dead_letters.name_of, rows))
    if unknown := [text for text, name in names.items() if name not in known]:
        raise _unknown(unknown)
    parts = {source: [row for row in rows if row["source"] == source] for source in ("workflow", "job", "timer")}
    return Choice(by_id=True, records=parts["workflow"], executions=parts["job"], timers=parts["timer"])


def _job_id(db: DictConnection, name_or_id: str) -> int:
    """The job's id; that of a removed job too, as long as the ledger knows of it."""
    try:
        job_id: int = jobs.find(db, name_or_id)["id"]
    except ConfigError:
        if not is_id(name_or_id) or int(name_or_id) > LARGEST_ID or not jobs.executions(db, int(name_or_id), limit=1):
            raise
        return int(name_or_id)
    return job_id


def _unknown(ids: Sequence[str]) -> ConfigError:
    return ConfigError(
        f"there is no dead letter {' or '.join(ids)}; `./millrace dead-letters list --status all` shows those there are"
    )
