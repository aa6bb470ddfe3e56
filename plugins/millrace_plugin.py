"""Airflow's door to Millrace: the timetable, which every component reads DAGs by, the API, and the way to its UI."""

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from include.orchestration.timetable import ShiftTimetable
from include.ui.navigation import EXTERNAL_VIEWS


class MillracePlugin(AirflowPlugin):
    name = "millrace"
    timetables = [ShiftTimetable]  # noqa: RUF012 - Airflow's own attribute
    external_views = EXTERNAL_VIEWS

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # asked for by the API server only: FastAPI takes 0.3 s to import
        from include.ui.app import app

        return [{"app": app, "url_prefix": "/millrace", "name": "millrace"}]
