"""FAB's auth manager, by which people see their own rows only. FAB takes seconds to import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager

from include.orchestration.row_owners import OwnRowsOnly, permitted

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser


class MillraceFabAuthManager(OwnRowsOnly, FabAuthManager):
    """Users and roles in the database, and rows of their own. Airflow looks for `FabAuthManager` in its name."""

    def get_authorized_dag_ids(self, *, user: BaseUser, **asked: Any) -> set[str]:
        """The DAGs that lists hold for the user; FAB's own does not filter one list, but reads another."""
        return permitted(user, super().get_authorized_dag_ids(user=user, **asked))
