"""The DAG of trials: settings that somebody tries out before there is a job, where their kind runs on a worker.

It has no schedule; the API starts a run per trial. A run's conf names the trial and nothing else: what is tried is in
the table, where a trial is taken once and only just after it was asked for, whoever starts a run for it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from include.actions._process import end_all
from include.store.edits import LARGEST_ID
from include.store.trials import DAG_ID

_MOST_AT_ONCE = 4

log = logging.getLogger(__name__)


class TrialOperator(BaseOperator):
    """Tries out, once, what the trial says that its run is for."""

    def execute(self, context: Any) -> str:
        """Return how it ended; why, and what came of it, is for its owner, in the table."""
        trial_id = (context["dag_run"].conf or {}).get("trial")
        if type(trial_id) is not int or not 1 <= trial_id <= LARGEST_ID:
            raise AirflowSkipException("this DAG is for trials, which POST /millrace/api/v1/jobs/trial starts")
        status = asyncio.run(self._carry_out(trial_id))
        if status is None:
            raise AirflowSkipException(f"trial {trial_id} is not waiting for a worker, or no longer")
        log.info("trial %s: %s", trial_id, status)
        return status

    def on_kill(self) -> None:
        """End what the trial has started as processes: a person has ended the task, or its worker is going down."""
        end_all()

    async def _carry_out(self, trial_id: int) -> str | None:
        # Here and not above: the DAG processor imports this file and needs none of it.
        from include.orchestration import connections, databases
        from include.settings import settings
        from include.shifts.post import Post
        from include.shifts.trial import carry_out

        post = Post(settings(), connections.find, open_database=databases.open_database, is_on_worker=True)
        await post.open()
        try:
            return await carry_out(post, trial_id)
        finally:
            await post.close()


def trial_dag() -> DAG:
    """One task, never tried again: who wants another trial asks for one."""
    with DAG(
        dag_id=DAG_ID,
        dag_display_name="Millrace: trials",
        schedule=None,
        catchup=False,
        max_active_runs=_MOST_AT_ONCE,
        is_paused_upon_creation=False,
        tags=["millrace"],
    ) as dag:
        TrialOperator(task_id="try", retries=0)
    return dag
