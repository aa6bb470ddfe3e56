"""The plain-Airflow way, for comparison: one DAG per job, an HttpOperator in each. `vanilla` copies it to a DAG folder.

Each run carries its due instant in `webhook-id`, as Millrace's calls do, so that the same sink can time it.
"""

from __future__ import annotations

import os

from airflow.providers.http.operators.http import HttpOperator
from airflow.sdk import DAG, CronTriggerTimetable

DAGS = int(os.environ["BENCH_VANILLA_DAGS"])
EVERY = int(os.environ["BENCH_VANILLA_EVERY"])

for number in range(DAGS):
    # Six fields, of which Airflow takes the last as the second.
    with DAG(
        dag_id=f"vanilla_{number}",
        schedule=CronTriggerTimetable(f"* * * * * {number % EVERY}-59/{EVERY}", timezone="UTC"),
        catchup=False,
    ) as dag:
        HttpOperator(
            task_id="call",
            http_conn_id="bench_sink",
            endpoint="vanilla",
            method="POST",
            data="{}",
            headers={"webhook-id": f"job_{number}_" + "{{ (data_interval_end.timestamp() * 1000000) | int }}"},
        )
    globals()[dag.dag_id] = dag
