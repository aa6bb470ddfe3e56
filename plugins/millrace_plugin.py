"""Airflow's door to Millrace: registers the timetable, so that every component can read our DAGs, and the API."""

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from include.orchestration.timetable import ShiftTimetable


class MillracePlugin(AirflowPlugin):
    name = "millrace"
    timetables = [ShiftTimetable]  # noqa: RUF012 - Airflow's own attribute

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """Only the API server asks for this; every other process would import FastAPI, 0.3 s, for nothing."""
        from include.ui.app import app

        return [{"app": app, "url_prefix": "/millrace", "name": "millrace"}]
