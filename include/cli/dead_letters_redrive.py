"""Have dead letters sent again, or give up on them for good. Of those that are named by id, all or none."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from include.cli.airflow_api import AirflowApi, Run, airflow_api
from include.cli.database import open_database
from include.cli.dead_letters_choice import All, Choice, Ids, OfJob, OfTimers, OfWorkflow, Since, chosen
from include.cli.duty import Yes, confirm
from include.cli.jobs_options import AsJson
from include.cli.output import note, print_json, print_line
from include.errors import ConfigError, RetryableError
from include.store import dead_letters
from include.store.edits import Row, changing
from include.times import spell_instant, utcnow

_UNDER_WAY = ("queued", "running")
_ENDING = timedelta(seconds=30)
_POLL_SECONDS = 0.5


class Cleared(NamedTuple):
    """Executions of jobs that run on a worker, by what becomes of them."""

    cleared: list[Row]  # their run in Airflow begins again
    under_way: list[Row]  # it was doing so already
    left: list[Row]  # it is gone, or was there for another occurrence: the job's next run sees to them
    trouble: str | None = None


def redrive(
    ids: Ids = None,
    job: OfJob = None,
    workflow: OfWorkflow = None,
    timers: OfTimers = False,
    everything: All = False,
    since: Since = None,
    as_json: AsJson = False,
) -> None:
    """Have dead letters sent again: by their ids, or those that are dead.

    They carry the webhook-id of the first time, and their attempts are counted on.

    Example: `./millrace dead-letters redrive --job nightly --since 1h`
    """
    with open_database() as db:
        choice = chosen(db, ids or [], job, workflow, timers, everything, since)
        gone = [*_without_record(choice.records), *_without_job(choice.executions)]
        if choice.by_id:
            _check_redrivable(choice, gone)
        waiting = [row for row in choice.executions if row["status"] in ("dead", "discarded") and row not in gone]
        on_worker = [row for row in waiting if _runs_on_worker(row["kind"])]
        in_airflow = _clear(on_worker)
        keys = [
            dead_letters.key_of(row) for row in (*(row for row in waiting if row not in on_worker), *in_airflow.left)
        ]
        with changing(db):
            done: list[int | str] = [*dead_letters.redrive(db, [row["id"] for row in choice.records])]
            marked = set(dead_letters.redrive_executions(db, keys))
            sent = set(dead_letters.redrive_timers(db, [row["timer_id"] for row in choice.timers]))
    cleared = [row["id"] for row in in_airflow.cleared]
    done += [row["id"] for row in choice.executions if dead_letters.key_of(row) in marked or row["id"] in cleared]
    done += [row["id"] for row in choice.timers if row["timer_id"] in sent]
    if as_json:
        print_json({"redriving": len(done), "ids": done, "gone": [row["id"] for row in gone], "cleared": cleared})
    else:
        print_line(f"redriving {_counted(len(done))}")
    _tell(choice, gone, in_airflow)


def discard(
    ids: Ids = None,
    job: OfJob = None,
    workflow: OfWorkflow = None,
    timers: OfTimers = False,
    everything: All = False,
    since: Since = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Give up on dead letters for good: they are kept, and count as resolved.

    Example: `./millrace dead-letters discard 3 job_7_1767225600000000 --yes`
    """
    with open_database() as db:
        choice = chosen(db, ids or [], job, workflow, timers, everything, since)
        if choice.by_id:
            _check_discardable(choice)
        if len(choice) and not yes:
            confirm(f"discard {_counted(len(choice))}")
        with changing(db):
            done: list[int | str] = [*dead_letters.discard(db, [row["id"] for row in choice.records])]
            keys = set(dead_letters.discard_executions(db, [dead_letters.key_of(row) for row in choice.executions]))
            timer_ids = set(dead_letters.discard_timers(db, [row["timer_id"] for row in choice.timers]))
    done += [row["id"] for row in choice.executions if dead_letters.key_of(row) in keys]
    done += [row["id"] for row in choice.timers if row["timer_id"] in timer_ids]
    if as_json:
        print_json({"discarded": len(done), "ids": done})
    else:
        print_line(f"discarded {_counted(len(done))}")


def _clear(rows: Sequence[Row]) -> Cleared:
    """Have the runs of these executions begin again in Airflow, where each was the run's own occurrence."""
    done = Cleared([], [], [])
    if not rows:
        return done
    try:
        with airflow_api() as api:
            for row in rows:
                _clear_one(api, row, done)
    except (RetryableError, ConfigError) as error:
        seen = {row["id"] for part in (done.cleared, done.under_way, done.left) for row in part}
        rest = [row for row in rows if row["id"] not in seen]
        return done._replace(left=[*done.left, *rest], trouble=str(error))
    return done


def _clear_one(api: AirflowApi, row: Row, done: Cleared) -> None:
    dag_id, run_id = f"job_{row['job_id']}", row["dag_run_id"]
    run = None if run_id is None else _ended_run(api, dag_id, run_id, row["finished_at"])
    if run is None or run.due != row["scheduled_for"]:
        done.left.append(row)
    elif run.state in _UNDER_WAY:
        done.under_way.append(row)
    else:
        (done.cleared if api.clear(dag_id, run_id) else done.left).append(row)


def _ended_run(api: AirflowApi, dag_id: str, run_id: str, finished_at: datetime) -> Run | None:
    """The run, once it has ended: a worker needs some seconds for that after the outcome is in the ledger."""
    while (run := api.run(dag_id, run_id)) is not None and run.state in _UNDER_WAY:
        if utcnow() - finished_at > _ENDING:
            break
        time.sleep(_POLL_SECONDS)
    return run


def _runs_on_worker(kind: str) -> bool:
    from include import registry  # brings the kinds, and with them an HTTP client

    return kind in registry.action_kinds() and registry.action(kind).runs_on == "worker"


def _check_redrivable(choice: Choice, gone: Sequence[Row]) -> None:
    for row in choice.records:
        _check_open(row)
    for row in (*choice.executions, *choice.timers):
        if row["status"] == "redriven":
            raise ConfigError(f"dead letter {row['id']} is resolved: it was redriven at {_ended(row)} UTC")
    if gone:
        raise ConfigError(_why_gone(gone))


def _check_discardable(choice: Choice) -> None:
    for row in choice.records:
        _check_open(row)
    for row in (*choice.executions, *choice.timers):
        if row["status"] in ("redriven", "discarded"):
            at = spell_instant(row["discarded_at"]) if row["discarded_at"] else _ended(row)
            raise ConfigError(f"dead letter {row['id']} is resolved: it was {row['status']} at {at} UTC")
        now = row["execution_status"] if row["source"] == "job" else row["timer_status"]
        if row["status"] == "redriving" and now != "failed":
            raise ConfigError(
                f"dead letter {row['id']} is being sent again just now ({now}); wait until that has ended"
            )


def _check_open(record: Row) -> None:
    if record["resolved_at"] is not None:
        raise ConfigError(
            f"dead letter {record['id']} is resolved: it was {record['status']} at "
            f"{spell_instant(record['resolved_at'])} UTC; `./millrace workflows rewind {record['workflow_id']}` "
            "processes records again"
        )


def _tell(choice: Choice, gone: Sequence[Row], in_airflow: Cleared) -> None:
    asked = sum(row["status"] == "redriving" for row in (*choice.records, *choice.executions, *choice.timers))
    if under_way := asked + len(in_airflow.under_way):
        note(f"{_counted(under_way)} had been asked for already")
    if in_airflow.cleared:
        note(f"{_counted(len(in_airflow.cleared))}: the run in Airflow was cleared, and begins again on a worker")
    if in_airflow.left:
        why = in_airflow.trouble or "Airflow has no run to clear for it"
        note(f"{_counted(len(in_airflow.left))}: the next run of the job will redrive it, on a worker ({why})")
    if gone:
        note(f"but not {_counted(len(gone))}: {_why_gone(gone)}")
    for workflow_id, name in _paused(choice.records, "workflow"):
        note(f"workflow {name!r} is paused: it sends them after `./millrace workflows resume {workflow_id}`")
    for job_id, name in _paused((*in_airflow.cleared, *in_airflow.left), "job"):
        note(f"job {name!r} is paused: Airflow runs it after `./millrace jobs resume {job_id}`")


def _paused(rows: Iterable[Row], noun: str) -> list[tuple[int, str]]:
    return sorted({(row[f"{noun}_id"], row[noun]) for row in rows if not row["is_active"]})


def _without_record(records: Sequence[Row]) -> list[Row]:
    return [row for row in records if row["status"] == "dead" and not row["kept"]]


def _without_job(executions: Sequence[Row]) -> list[Row]:
    return [row for row in executions if row["job"] is None and row["status"] in ("dead", "discarded")]


def _why_gone(gone: Sequence[Row]) -> str:
    records = [row for row in gone if row["source"] == "workflow"]
    executions = [row for row in gone if row["source"] == "job"]
    reasons = []
    if records:
        listed = _listed([f"{row['id']} (record {row['position']} of connector {row['connector']})" for row in records])
        reasons.append(f"the log no longer has the record of dead letter {listed}: retention has removed it")
    if executions:
        listed = _listed([row["id"] for row in executions])
        reasons.append(f"the job was deleted; without it nobody knows what to send for {listed}")
    remedy = f"`./millrace dead-letters discard {gone[0]['id']}` resolves it"
    return f"{'; '.join(reasons)}, so it cannot be sent again; {remedy}"


def _listed(items: Sequence[str]) -> str:
    return ", ".join(items[:10]) + (f" and {len(items) - 10} more" if len(items) > 10 else "")


def _ended(row: Row) -> str:
    return spell_instant(row["finished_at"])


def _counted(letters: int) -> str:
    return "1 dead letter" if letters == 1 else f"{letters} dead letters"
