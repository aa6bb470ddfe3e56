"""Airflow's door to Millrace: registers the timetable, so that every component can read our DAGs."""

from airflow.plugins_manager import AirflowPlugin

from include.orchestration.timetable import ShiftTimetable


class MillracePlugin(AirflowPlugin):
    name = "millrace"
    timetables = [ShiftTimetable]  # noqa: RUF012 - Airflow's own attribute
