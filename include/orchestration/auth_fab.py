"""FAB's auth manager, by which people see their own rows only. FAB takes seconds to import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager

from include.orchestration.row_owners import OwnRowsOnly, permitted

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser


class MillraceFabAuthManager(OwnRowsOnly, FabAuthManager):
    """Users and roles in the database, and rows of their own. Airflow looks for `FabAuthManager` in its name."""

    def is_authorized_view(self, *, access_view: AccessView, user: BaseUser) -> bool:
        """As FAB says; and whoever may look at DAGs reads the list of plugins, by which Airflow's UI leads to ours."""
        if super().is_authorized_view(access_view=access_view, user=user):
            return True
        return access_view is AccessView.PLUGINS and self.is_authorized_dag(method="GET", user=user)

    def get_authorized_dag_ids(self, *, user: BaseUser, **asked: Any) -> set[str]:
        """The DAGs that lists hold for the user; FAB's own does not filter one list, but reads another."""
        return permitted(user, super().get_authorized_dag_ids(user=user, **asked))
