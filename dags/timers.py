"""Airflow's door to Millrace's timers: the DAG whose shifts fire them."""

from include.orchestration.pumps import pump_dag

dag = pump_dag()
