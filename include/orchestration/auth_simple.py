"""Airflow's simple auth manager, by which people see their own rows only."""

from __future__ import annotations

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

from include.orchestration.row_owners import OwnRowsOnly


class MillraceSimpleAuthManager(OwnRowsOnly, SimpleAuthManager):
    """Users in a setting, passwords in a file, and rows of their own."""
