"""Start the DAG of a row by hand, as Airflow's Trigger button does, and see what becomes of the run.

For `jobs run`, `connectors run` and `workflows run`:

    with airflow_api() as api:
        started = trigger(api, row)                        # row: a Job, a Connector or a Workflow
        state = wait_for_end(api, row, started.run_id)     # "success" or "failed"
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from include.cli.airflow_api import AirflowApi
from include.cli.output import note
from include.errors import ConfigError, MillraceError, RetryableError
from include.model import Connector, Job, Workflow

_FIRST_POLL_SECONDS = 0.1
_POLL_SECONDS = 1.0
_LONGEST_WAIT_FOR_DAG_SECONDS = 30.0
_LONGEST_SILENCE_SECONDS = 60.0

HasDag = Job | Connector | Workflow


class Started(NamedTuple):
    """A run by hand, and its logical date: `execution.scheduled_for`, where it is the run of a job."""

    run_id: str
    at: datetime


def check_startable(row: HasDag) -> None:
    """Raise `ConfigError`, with the way to mend it, if the row cannot run or is paused."""
    noun = _noun(row)
    if row.error is not None:
        raise ConfigError(f"{noun} {row.name!r} cannot run: {row.error}; `./millrace {noun}s edit {row.id}`")
    if not row.is_active:
        raise ConfigError(
            f"{noun} {row.name!r} is paused, and Airflow starts no run of a paused DAG; "
            f"`./millrace {noun}s resume {row.id}`"
        )


def trigger(
    api: AirflowApi, row: HasDag, conf: Mapping[str, Any] | None = None, *, poll_seconds: float = _POLL_SECONDS
) -> Started:
    """Start a run now. A new row's DAG may still be on its way: that is waited for, and said once on stderr.

    It is asked for after a tenth of a second, then less and less often, down to every `poll_seconds`. `RetryableError`
    if there is no DAG after half a minute.
    """
    deadline = time.monotonic() + _LONGEST_WAIT_FOR_DAG_SECONDS
    noun, told = _noun(row), False
    pauses = _pauses(poll_seconds)
    while True:
        at = datetime.now(timezone.utc)
        run_id = api.trigger(row.dag_id, at, dict(conf or {}))
        if run_id is not None:
            return Started(run_id, at)
        if time.monotonic() > deadline:
            raise RetryableError(
                f"Airflow has no DAG {row.dag_id} for {noun} {row.name!r}; `./millrace {noun}s show {row.id}` may say "
                "why, and `./millrace logs dag-processor`"
            )
        if not told:
            note(f"waiting for the {noun}'s DAG, {row.dag_id}")
            told = True
        time.sleep(next(pauses))


def has_ended(api: AirflowApi, row: HasDag, run_id: str) -> bool:
    """Whether Airflow is done with the run, or has it no more; False as well if it does not answer just now."""
    try:
        return api.run_state(row.dag_id, run_id) in ("success", "failed", None)
    except RetryableError:
        return False


def wait_for_end(api: AirflowApi, row: HasDag, run_id: str, *, poll_seconds: float = _POLL_SECONDS) -> str:
    """How the run ended: `success` or `failed`; asked for as `trigger` does.

    `RetryableError` if Airflow does not answer for a minute, `MillraceError` if it has the run no more.
    """
    heard = time.monotonic()
    pauses = _pauses(poll_seconds)
    while True:
        try:
            state = api.run_state(row.dag_id, run_id)
            heard = time.monotonic()
        except RetryableError:
            if time.monotonic() - heard > _LONGEST_SILENCE_SECONDS:
                raise
        else:
            if state is None:
                raise MillraceError(f"run {run_id} of {_noun(row)} {row.name!r} is gone: it was deleted in Airflow")
            if state in ("success", "failed"):
                return state
        time.sleep(next(pauses))


def _pauses(longest_seconds: float) -> Iterator[float]:
    seconds = _FIRST_POLL_SECONDS
    while True:
        yield min(seconds, longest_seconds)
        seconds *= 2


def _noun(row: HasDag) -> str:
    return type(row).__name__.lower()
