"""Start a run of a row's DAG by hand, from within Airflow's API server: as its Trigger button does.

Airflow's models are imported where they are needed: they take a second, and a look at Airflow's settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from include.errors import RetryableError

_TRIES = 3
_NO_DAG_YET_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Started:
    """A run, and the instant that it is for: `execution.scheduled_for`, where it is the run of a job."""

    run_id: str
    due: datetime


class NoDagYetError(RetryableError):
    """Airflow has no DAG for the row: the row is new, or cannot be built."""


def start(dag_id: str, *, run_id: str, user: str, conf: Mapping[str, Any] | None = None) -> Started:
    """Start a run now, in the name of `user`; the run of this id, if there is one already.

    `NoDagYetError` if there is no DAG; `RetryableError` if Airflow's database cannot be reached. It blocks.
    """
    from airflow.exceptions import DagNotFound, DagRunAlreadyExists
    from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError, TimeoutError

    for _ in range(_TRIES):
        try:
            return _start(dag_id, run_id, user, dict(conf or {}))
        except DagNotFound:
            raise NoDagYetError(
                f"Airflow has no DAG {dag_id} yet; send it again in a moment", after_seconds=_NO_DAG_YET_SECONDS
            ) from None
        except (DagRunAlreadyExists, IntegrityError):
            continue  # somebody was faster, with the same id or at the same microsecond
        except (OperationalError, InterfaceError, TimeoutError) as error:
            raise RetryableError("Airflow's database cannot be reached: send it again later") from error
    raise RetryableError(f"too many runs of {dag_id} are being started: send it again later")


def _start(dag_id: str, run_id: str, user: str, conf: dict[str, Any]) -> Started:
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.exceptions import DagNotFound
    from airflow.models import DagModel, DagRun
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunTriggeredByType

    with create_session(scoped=False) as session:
        run: Any = DagRun.find_duplicate(dag_id=dag_id, run_id=run_id, session=session)
        if run is None:
            dag = DagModel.get_current(dag_id, session=session)
            if dag is None or dag.is_stale:
                raise DagNotFound(dag_id)
            now = datetime.now(timezone.utc)
            run = trigger_dag(
                dag_id,
                triggered_by=DagRunTriggeredByType.REST_API,
                triggering_user_name=user,
                run_id=run_id,
                run_after=now,
                logical_date=now,
                replace_microseconds=False,
                conf=conf,
                session=session,
            )
        due = run.data_interval_end or run.logical_date or run.run_after
        # Airflow's instants are pendulum's, from which not everything can be subtracted.
        return Started(run_id, datetime.fromisoformat(due.isoformat()).astimezone(timezone.utc))
