"""Airflow's door to Millrace's upkeep: the DAG whose shifts keep tables and logs small, and watch over the rest."""

from include.orchestration.upkeep import upkeep_dag

dag = upkeep_dag()
