"""Airflow's own API and UI show people their own rows: what an auth manager of Airflow's says, narrowed by owner.

Airflow is not imported here: who calls our API is named in the same way, in an app that is made without Airflow.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from include.documents.fields import Owner
from include.settings import settings
from include.store.row_owners import RowOwners, row_dag_ids

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
    from airflow.api_fastapi.auth.managers.models.batch_apis import IsAuthorizedDagRequest
    from airflow.api_fastapi.auth.managers.models.resource_details import (
        AssetDetails,
        DagAccessEntity,
        DagDetails,
    )

_AuthManager: Any = object  # which one it is, the class says that has this one as its first base

_EVERYBODY = "*"  # in grants and quotas, where a user of this name would be mistaken for it
_MILLRACES_OWN = "millrace_"  # the DAGs that work for everybody, and whose logs speak of everybody's rows
_owner: TypeAdapter[str] = TypeAdapter(Owner)


class OwnRowsOnly(_AuthManager):
    """Lets users do with DAGs what the auth manager after it says, where the DAG's row is theirs.

    Admins do so with all, and they alone with assets, Millrace's own DAGs and what remains of a deleted row. DAGs that
    are neither are as without it, and so is what is asked of no DAG in particular. When the database does not say whose
    the rows are, they are nobody's.
    """

    def is_authorized_dag(
        self,
        *,
        method: ResourceMethod,
        user: BaseUser,
        access_entity: DagAccessEntity | None = None,
        details: DagDetails | None = None,
    ) -> bool:
        """Whether the user may do this with the DAG, or with what is said of it: runs, logs, code, and the like."""
        ids = {details.id} if details and details.id else set()
        return self._airflow_lets(method, user, access_entity, details) and (not ids or permitted(user, ids) == ids)

    def batch_is_authorized_dag(self, requests: Sequence[IsAuthorizedDagRequest], *, user: BaseUser) -> bool:
        """Whether the user may do all of this. Airflow's own would look up the owners one by one."""
        asked = [request.get("details") for request in requests]
        ids = {details.id for details in asked if details and details.id}
        return permitted(user, ids) == ids and all(
            self._airflow_lets(request["method"], user, request.get("access_entity"), request.get("details"))
            for request in requests
        )

    def filter_authorized_dag_ids(
        self, *, dag_ids: set[str], user: BaseUser, method: ResourceMethod = "GET", team_name: str | None = None
    ) -> set[str]:
        """Those of these DAGs with which the user may do this; of all, it is what Airflow's lists hold.

        Airflow's own would look up the owners one by one.
        """
        from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails

        return {
            dag_id
            for dag_id in permitted(user, dag_ids)
            if self._airflow_lets(method, user, None, DagDetails(id=dag_id, team_name=team_name))
        }

    def is_authorized_asset(
        self, *, method: ResourceMethod, user: BaseUser, details: AssetDetails | None = None
    ) -> bool:
        """What Airflow says, of admins: assets are called after everybody's connectors, and lists know no owner."""
        return _is_admin(user) and bool(super().is_authorized_asset(method=method, user=user, details=details))

    def _airflow_lets(
        self, method: ResourceMethod, user: BaseUser, entity: DagAccessEntity | None, details: DagDetails | None
    ) -> bool:
        return bool(super().is_authorized_dag(method=method, user=user, access_entity=entity, details=details))


def owner_name(user: BaseUser) -> str | None:
    """The name under which a user of Airflow owns rows; None for a stranger, and a name that no owner can have."""
    if getattr(user, "is_anonymous", False):  # whoever has no login, and for whom FAB has a role all the same
        return None
    name = getattr(user, "username", None) or user.get_name()
    try:
        return None if name == _EVERYBODY else _owner.validate_python(name)
    except ValidationError:
        return None


def has_role_admin(user: BaseUser) -> bool:
    """The simple auth manager gives a user one role, in any spelling; FAB several, where `Admin` is spelt so."""
    role, roles = getattr(user, "role", None), getattr(user, "roles", None) or ()
    return (isinstance(role, str) and role.upper() == "ADMIN") or any(role.name == "Admin" for role in roles)


def permitted(user: BaseUser, dag_ids: set[str]) -> set[str]:
    """Those of these DAGs with which the user may do anything at all."""
    if _is_admin(user):
        return dag_ids
    name = owner_name(user)
    owned = set[str]() if name is None else _row_owners(settings().database_url).owned(name, dag_ids)
    theirs = row_dag_ids(dag_ids)
    return owned | {dag_id for dag_id in dag_ids - theirs if not dag_id.startswith(_MILLRACES_OWN)}


def _is_admin(user: BaseUser) -> bool:
    name = owner_name(user)
    return name is not None and (has_role_admin(user) or name in settings().admins)


@cache
def _row_owners(database_url: str) -> RowOwners:
    return RowOwners(database_url)
