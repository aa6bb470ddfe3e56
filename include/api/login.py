"""Who calls, by Airflow's login: a token in the Authorization header, or the cookie of its web UI.

Airflow does not authenticate what a plugin mounts. Roles are Airflow's: who may look at DAGs reads, who may change DAGs
writes, and the role Admin (or `MILLRACE_ADMINS`) sees and does everything.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials

from include.documents.caller import Caller
from include.errors import RefusedError
from include.settings import Settings

Login = Callable[[Request], Awaitable[Caller]]

# What a token says is believed for so long without asking again, so long does a logout take to count here: each look
# costs a signature and a query in Airflow, which is most of what a small request costs.
_BELIEVED_SECONDS = 5.0
_MOST_BELIEVED = 10_000
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class AirflowLogin:
    """Knows callers by Airflow's tokens and cookies."""

    def __init__(self, settings: Settings) -> None:
        self._admins = frozenset(settings.admins)
        self._admin_kinds = frozenset(settings.admin_kinds)
        self._believed: dict[bytes, tuple[float, Caller]] = {}

    async def __call__(self, request: Request) -> Caller:
        """The caller; `RefusedError` 401 without a login, 403 for one who may not even look, or from another site."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        bearer = token.strip() if scheme.lower() == "bearer" else ""
        if not bearer and request.method not in _SAFE:
            _check_origin(request)
        digest = hashlib.sha256((bearer or request.cookies.get(COOKIE_NAME_JWT_TOKEN, "")).encode()).digest()
        known = self._believed.get(digest)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        caller = self._caller(await _user(request, bearer))
        if len(self._believed) >= _MOST_BELIEVED:
            self._believed.clear()
        self._believed[digest] = (time.monotonic() + _BELIEVED_SECONDS, caller)
        return caller

    def _caller(self, user: BaseUser) -> Caller:
        manager = get_auth_manager()
        if not manager.is_authorized_dag(method="GET", user=user):
            raise RefusedError(403, "your role in Airflow does not let you look at DAGs; ask an admin for another one")
        name = str(getattr(user, "username", None) or user.get_name())
        is_admin = name in self._admins or "admin" in _roles(user)
        may_write = is_admin or manager.is_authorized_dag(method="PUT", user=user)
        return Caller(name, may_write, is_admin, self._admin_kinds)


async def _user(request: Request, bearer: str) -> BaseUser:
    credentials = HTTPAuthorizationCredentials(scheme="Bearer", credentials=bearer) if bearer else None
    try:
        return await get_user(request, None, credentials)
    except HTTPException as error:
        # Airflow says 403 of a token that is none; nobody knows then who it is.
        raise RefusedError(401, f"log in first: {error.detail}") from None


def _roles(user: BaseUser) -> set[str]:
    """The names of the user's roles: the simple auth manager gives one, FAB a list."""
    found = [getattr(role, "name", role) for role in getattr(user, "roles", None) or ()]
    return {str(role).lower() for role in (*found, getattr(user, "role", None)) if role}


def _check_origin(request: Request) -> None:
    """A browser sends the cookie along with whatever any site makes it send: only our own pages may change things.

    `Sec-Fetch-Site` (W3C Fetch Metadata) where the browser says it, else `Origin` (RFC 6454).
    """
    site = request.headers.get("sec-fetch-site")
    origin = urlsplit(request.headers.get("origin", ""))
    same = site == "same-origin" if site is not None else origin.netloc == request.headers.get("host") != ""
    if not same:
        raise RefusedError(403, "this comes from another site; changes need a token, or a page of this one")


async def _caller(request: Request) -> Caller:
    login: Login = request.app.state.login
    return await login(request)


CallerDep = Annotated[Caller, Depends(_caller)]
