"""What Airflow's page of a DAG shows in our tab: the row that the DAG is made of."""

from __future__ import annotations

from include.ui.page import page_router

router = page_router()
