"""Why the last occurrence of a job did not run, or ran late, in words.

The first line is the answer; those after it are what it follows from, and what to do.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from include.store.why import Facts
from include.wall_cron import TICK

_LATE = timedelta(seconds=1)
_QUIET = timedelta(seconds=30)  # the longest that a component of Airflow is silent while it is well
_UNDER_WAY = timedelta(seconds=5)


def explain(facts: Facts) -> list[str]:
    """The answer, and its reasons, a line each."""
    job = facts.job
    if job.error is not None:
        return [f"it cannot run: {job.error}", f"mend the row: `./millrace jobs edit {job.id}`"]
    if facts.due is None:
        return _never_due(facts)
    if facts.execution is None:
        return _without_execution(facts, facts.due)
    status = facts.execution["status"]
    return _BY_STATUS[status](facts, facts.due, facts.execution)


def _never_due(facts: Facts) -> list[str]:
    job, schedule = facts.job, facts.job.schedule
    if not any((schedule.cron, schedule.every, schedule.run_at)):
        return ["it has no schedule: it runs only by hand", f"`./millrace jobs run {job.id}` runs it now"]
    following = schedule.next_after(facts.now)
    if following is None:
        return [f"it is not due any more: {schedule.describe()}" + _window(facts)]
    return [
        f"it has not been due yet: {schedule.describe()}, since {_at(job.schedule_changed_at)}",
        f"it is due next at {_at(following)}" + _window(facts),
        *_off_duty(facts, following),
    ]


def _without_execution(facts: Facts, due: datetime) -> list[str]:
    if not facts.job.schedule.fixed_delay:  # by which each end says when the next one is
        following = facts.job.schedule.next_after(due - TICK)
        if due < facts.job.schedule_changed_at or following != due:
            return _not_due(facts, due, following)
    instant = due + facts.job.schedule.delay(due)
    off_duty = _off_duty(facts, due)
    if facts.now < due:
        delayed = f"; its jitter delays it until {_at(instant)}" if instant > due else ""
        return [f"it is due only at {_at(due)}{delayed}", *off_duty]
    if facts.now < instant:
        return [f"it has not run yet: its jitter delays {_at(due)} until {_at(instant)}", *off_duty]
    if facts.now - instant < _UNDER_WAY and not off_duty and not _is_quiet(facts):
        return [f"it is due just now ({_at(instant)}); ask again in a moment"]
    lines = [f"nothing is known of {_at(due)}, {_length(facts.now - due)} ago: nobody was on duty for it"]
    return lines + (off_duty or _dead_components(facts) or _on_its_way(facts))


def _is_quiet(facts: Facts) -> bool:
    """Whether an earlier one is missing as well, which should long have begun: of a job that is always due just now."""
    schedule, last = facts.job.schedule, facts.accounted
    if last is None or schedule.fixed_delay or last < facts.job.schedule_changed_at:
        return False
    first = schedule.next_after(last)
    return first is not None and facts.now - first - schedule.delay(first) >= _UNDER_WAY


def _not_due(facts: Facts, asked: datetime, due: datetime | None) -> list[str]:
    """That nothing was missed: the schedule has no occurrence where somebody asks for one."""
    job = facts.job
    if asked < job.schedule_changed_at:
        return [f"nothing is known of {_at(asked)}: its schedule is as it is only since {_at(job.schedule_changed_at)}"]
    lines = [f"it was not due at {_at(asked)}: {job.schedule.describe()}" + _window(facts)]
    return [*lines, f"the next time after that is {_at(due)}"] if due is not None else lines


def _off_duty(facts: Facts, due: datetime) -> list[str]:
    """The pause that the instant falls into, if it does."""
    job = facts.job
    disabled = (facts.health or {}).get("disabled_reason")
    if not job.is_active and disabled:
        return [f"it was disabled: {disabled}", f"`./millrace jobs resume {job.id}` puts it back on duty"]
    if not job.is_active:
        return [f"it is paused{_by(facts)}", f"`./millrace jobs resume {job.id}` puts it back on duty"]
    if job.paused_until is not None and job.paused_until > due and disabled:
        return [f"it was disabled: {disabled}; it is probed at {_at(job.paused_until)}"]
    if job.paused_until is not None and job.paused_until > due:
        return [f"it is paused until {_at(job.paused_until)}{_by(facts)}"]
    return _was_paused(facts, due)


def _was_paused(facts: Facts, due: datetime) -> list[str]:
    """That it was off duty at the instant, and is not any more."""
    last = next((pause for pause in facts.pauses if pause["at"] <= due), None)
    if last is None or (last["is_active"] and (last["paused_until"] is None or last["paused_until"] <= due)):
        return []
    return [f"it was paused then{_by(facts, due)}"]


def _dead_components(facts: Facts) -> list[str]:
    known = facts.airflow or {}
    lines = []
    for name, key in (("scheduler", "scheduler_at"), ("triggerer", "triggerer_at"), ("DAG processor", "processor_at")):
        seen: datetime | None = known.get(key)
        if facts.airflow is not None and (seen is None or facts.now - seen > _QUIET):
            last = "has never given a sign of life" if seen is None else f"gave its last sign of life at {_at(seen)}"
            lines.append(f"Airflow's {name} {last}; `./millrace status` shows what runs")
    if facts.processes == 0 and not lines:
        lines.append(
            "no process of Millrace is alive: no shift is on duty anywhere; `./millrace status` shows what runs"
        )
    return lines


def _on_its_way(facts: Facts) -> list[str]:
    job, known = facts.job, facts.airflow
    if known is None:
        return []
    if not known["has_dag"] or known["is_stale"]:
        return [f"Airflow has no DAG {job.dag_id} (yet); `./millrace logs dag-processor` may say why"]
    if known["run_id"] is None:
        return [f"Airflow has made no run for it; `./millrace logs scheduler` may say why ({job.dag_id})"]
    if known["run_state"] in ("success", "failed"):
        return _ended_run(known)
    return [
        f"its run {known['run_id']} is {known['run_state']} in Airflow, its task {known['task_state'] or 'not begun'}"
    ]


def _ended_run(known: dict[str, Any]) -> list[str]:
    """Of a run that should still be on duty."""
    ended, following = known["run_ended_at"], known["next_run_at"]
    at = f" at {_at(ended)}" if ended is not None else ""
    begins = f"the next one begins at {_at(following)}" if following is not None else "there is no next one"
    return [
        f"its run {known['run_id']} was ended in Airflow{at} ({known['run_state']}); {begins}",
        "clear the run there, and it is on duty again",
    ]


def _success(facts: Facts, due: datetime, execution: dict[str, Any]) -> list[str]:
    began, late = _begin(due, execution)
    when = "on time" if late <= _LATE else f"{_length(late)} late"
    lines = [f"it did run: {_at(due)} {when}, and was a success after {_attempts(execution['attempt'])}"]
    return lines + _lateness(facts, due, began, late) + _failed_attempts(execution)


def _failed(facts: Facts, due: datetime, execution: dict[str, Any]) -> list[str]:
    reason = f" ({execution['reason']})" if execution["reason"] else ""
    began, late = _begin(due, execution)
    asked = execution["redrive_at"] is not None
    return [
        f"it failed: {_at(due)}, after {_attempts(execution['attempt'])}{reason}: {execution['error']}",
        *_lateness(facts, due, began, late),
        *_failed_attempts(execution),
        *_off_duty(facts, facts.now),
        "it is to be redriven" if asked else f"`./millrace dead-letters redrive {_key(facts, due)}` sends it again",
    ]


def _running(facts: Facts, due: datetime, execution: dict[str, Any]) -> list[str]:
    if execution["attempt"] == 0:
        return [f"it waits: {_at(due)} {execution['reason']}", *_others(facts)]
    began, late = _begin(due, execution)
    state = "is running" if execution["status"] == "running" else "waits for its next attempt"
    lines = [f"it {state}: {_at(due)}, attempt {execution['attempt']}"]
    return lines + _lateness(facts, due, began, late) + _failed_attempts(execution)


def _skipped(facts: Facts, due: datetime, execution: dict[str, Any]) -> list[str]:
    reason = execution["reason"] or "without a reason"
    lines = [f"it was skipped: {_at(due)}: {reason}"]
    if reason == "paused":
        return [*lines, *(_off_duty(facts, due) or [f"it was paused then{_by(facts, due)}"])]
    if "still running" in reason:
        lines += _others(facts)
        edit = f"`./millrace jobs edit {facts.job.id} --overlap"
        waits = "one waits already" if facts.job.overlap == "queue" else f"{edit} queue` has one wait"
        lines.append(f"{waits}; {edit} allow` has none wait")
    return lines


def _missed(facts: Facts, due: datetime, execution: dict[str, Any]) -> list[str]:
    job = facts.job
    found = execution["finished_at"] - due
    rule = f"by its rule (misfire {job.misfire}, max_lateness {_length(job.max_lateness)}) it was not made up for"
    lines = [f"it was missed: {_at(due)}: {execution['reason']}", f"found {_length(found)} later, {rule}"]
    return [*lines, *_off_duty(facts, due), *_dead_components(facts)]


def _cancelled(facts: Facts, due: datetime, execution: dict[str, Any]) -> list[str]:
    return [f"it was cancelled: {_at(due)}: {execution['reason']}"]


_BY_STATUS = {
    "success": _success,
    "failed": _failed,
    "running": _running,
    "retrying": _running,
    "skipped": _skipped,
    "missed": _missed,
    "cancelled": _cancelled,
}


def _begin(due: datetime, execution: dict[str, Any]) -> tuple[datetime, timedelta]:
    """When the first attempt began, and how much later than due that was."""
    began: datetime = execution["started_at"] or due
    return began, max(began - due, timedelta(0))


def _lateness(facts: Facts, due: datetime, began: datetime, late: timedelta) -> list[str]:
    if late <= _LATE:
        return []
    job = facts.job
    jitter = job.schedule.delay(due)
    lines = [f"its jitter asks for {_length(jitter)} of that"] if jitter else []
    if late - jitter <= _LATE:
        return lines
    known = facts.airflow or {}
    started: datetime | None = known.get("run_started_at")
    if due < job.schedule_changed_at + timedelta(seconds=30) and due >= job.schedule_changed_at:
        why = f"its schedule was new (since {_at(job.schedule_changed_at)}), and its first shift still on the way"
    elif started is not None and started > due + jitter:
        why = f"Airflow started its run only at {_at(started)}: nobody was on duty before"
    else:
        why = f"it was claimed only at {_at(began)}: nobody was on duty before, or the process was busy"
    return [*lines, why]


def _failed_attempts(execution: dict[str, Any]) -> list[str]:
    failed = [one for one in execution["attempts"] if isinstance(one, dict) and one.get("error")]
    return [f"attempt {one.get('attempt', '')} failed: {one['error']}" for one in failed[-5:]]


def _others(facts: Facts) -> list[str]:
    return [f"under way: {_at(row['scheduled_for'])}, attempt {row['attempt']}" for row in facts.under_way]


def _by(facts: Facts, due: datetime | None = None) -> str:
    """Who paused it, and when: before `due`, or last."""
    for pause in facts.pauses:
        off = not pause["is_active"] or pause["paused_until"] is not None
        if off and (due is None or pause["at"] <= due):
            return f", by {pause['actor']} ({pause['via']}) at {_at(pause['at'])}"
    return ""


def _key(facts: Facts, due: datetime) -> str:
    microseconds = (due - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)
    return f"job_{facts.job.id}_{microseconds}"


def _window(facts: Facts) -> str:
    schedule = facts.job.schedule
    parts = [f"not before {_at(schedule.starts_at)}"] if schedule.starts_at else []
    parts += [f"not from {_at(schedule.ends_at)} on"] if schedule.ends_at else []
    return f" ({', '.join(parts)})" if parts else ""


def _attempts(number: int) -> str:
    return "1 attempt" if number == 1 else f"{number} attempts"


def _at(instant: datetime) -> str:
    return f"{instant.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def _length(length: timedelta) -> str:
    seconds = length.total_seconds()
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
