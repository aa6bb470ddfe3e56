"""Airflow's door to Millrace's trials: the DAG that tries settings of jobs out on a worker."""

from include.orchestration.trials import trial_dag

dag = trial_dag()
