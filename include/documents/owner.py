"""What admins lay down for owners, as documents: connections, quotas, budgets; and whom owners have told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from include import registry
from include.documents import permits
from include.documents.caller import Caller
from include.documents.fields import AnyDuration, Document, Owner, Seconds, Shown, ShownInstant, storable
from include.documents.invalid import InvalidDocumentError
from include.errors import MisfitError
from include.store import access, notices
from include.store.access import Quota
from include.store.db import DictConnection
from include.store.edits import LARGEST_ID, Row

EVERYBODY = "*"
_MOST_ROWS = 2**31 - 1
_MOST_STILL_IN_USE = 500

ConnId = Annotated[str, Field(min_length=1, max_length=250), AfterValidator(storable)]


class QuotaSettings(Document):
    """The most that an owner may have; null: no limit. What admins write is not limited."""

    max_rows: int | None = Field(
        None, ge=0, le=_MOST_ROWS, description="Jobs, connectors, workflows, and timers that wait, together."
    )
    max_fires_per_minute: float | None = Field(None, ge=0, description="What the schedules of all active rows come to.")
    min_interval: AnyDuration | None = Field(None, description="The least time between two occurrences of a row.")
    max_bytes: int | None = Field(
        None, ge=0, le=LARGEST_ID, description="What the settings of all rows come to, as JSON."
    )


class ShownQuota(Shown):
    """The quota that holds for an owner; null: no limit."""

    max_rows: int | None
    max_fires_per_minute: float | None
    min_interval: Seconds | None
    max_bytes: int | None
    is_own: bool = Field(description="Whether it is his own; otherwise it is that of everybody, `*`.")


class Holdings(Shown):
    """What an owner has."""

    rows: int = Field(description="Jobs, connectors, workflows, and timers that wait.")
    bytes: int = Field(description="What their settings come to, as JSON.")


class GrantedConnection(Shown):
    """An Airflow connection that an owner may name in rows."""

    conn_id: str
    everybody: bool = Field(description="Whether everybody may.")


class OwnerNotify(Shown):
    """Whom an owner has told of jobs that do not say it themselves, and of timers."""

    owner: str
    notify: dict[str, Any]
    updated_at: ShownInstant


class OwnerDocument(Shown):
    """An owner: what he has, and the most that he may have."""

    owner: str
    quota: ShownQuota
    holdings: Holdings
    connections: list[GrantedConnection]
    notify: dict[str, Any] | None = Field(description="Whom he has told; null: nobody.")


class Me(Shown):
    """Who is calling, and what that one may have."""

    name: str = Field(description="The owner of his rows.")
    may_write: bool
    is_admin: bool
    quota: ShownQuota = Field(description="It does not hold for admins.")
    holdings: Holdings
    connections: list[GrantedConnection] = Field(description="An admin may name others as well.")
    notify: dict[str, Any] | None


class GrantSettings(Document):
    """Let an owner name an Airflow connection in rows; owner `*` is everybody."""

    owner: Owner = Field(examples=["ann@example.com"])
    conn_id: ConnId = Field(examples=["slack_default"])


class Grant(Shown):
    """That an owner may name an Airflow connection."""

    id: int
    owner: str
    conn_id: str
    created_at: ShownInstant


class UserOfConnection(Shown):
    """A row that uses a connection."""

    table: str = Field(examples=["job"])
    id: int | None = Field(description="null: it is the owner's notify.")
    name: str
    owner: str


class RevokedGrant(Shown):
    """What was taken back, and what goes on all the same."""

    grant: Grant
    still_in_use: list[UserOfConnection] = Field(
        description="Rows that use the connection, at most 500: they go on using it until they are changed or paused."
    )
    detail: str


class BudgetDocument(Shown):
    """A limit on requests that connectors share."""

    name: str
    rate_limit: str = Field(examples=["5000/hour"])
    connectors: int = Field(description="How many share it.")


def quota_document(db: DictConnection, owner: str) -> dict[str, Any]:
    """The quota that holds for the owner, as a `ShownQuota`."""
    own = access.own_quota(db, owner)
    limits = own or access.quota(db, owner)
    return {**{name: getattr(limits, name) for name in Quota.__slots__}, "is_own": own is not None}


def owner_document(db: DictConnection, owner: str) -> dict[str, Any]:
    """What there is of an owner, as an `OwnerDocument`; whoever has nothing is an owner as well."""
    holdings = access.holdings(db, owner)
    told = notices.owner(db, owner)
    return {
        "owner": owner,
        "quota": quota_document(db, owner),
        "holdings": {"rows": holdings.rows, "bytes": holdings.bytes},
        "connections": access.connections_of(db, owner),
        "notify": None if told is None else told["notify"],
    }


def still_in_use(db: DictConnection, revoked: Mapping[str, Any]) -> list[Row]:
    """What goes on using a connection though the grant is gone."""
    conn_id = revoked["conn_id"]
    configs = {kind: registry.action(kind).config for kind in registry.action_kinds()}
    by_itself = [
        kind
        for kind, config in configs.items()
        if "conn_id" in config.model_fields and config.model_fields["conn_id"].default == conn_id
    ]
    return access.still_in_use(db, revoked["owner"], conn_id, by_itself, _MOST_STILL_IN_USE)


def set_notify(db: DictConnection, caller: Caller, owner: str, notify: dict[str, Any]) -> Row:
    """Have the owner told so; what could not work, or names a connection that is not listed for him, is refused.

    What is said already, with the connections in it, he may keep. Call it inside `changing`.
    """
    try:
        registry.vet_notify(notify)
    except MisfitError as error:
        raise InvalidDocumentError(error.problems) from None
    before = notices.owner(db, owner)
    permits.check_notify(db, caller, owner, notify, before and before["notify"])
    return notices.set_owner(db, owner, notify)
