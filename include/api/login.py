"""Who calls, by Airflow's login: a token in the Authorization header, or the cookie of its web UI.

Airflow does not authenticate what a plugin mounts. Roles are Airflow's: who may look at DAGs reads, who may change DAGs
writes, and the role Admin (or `MILLRACE_ADMINS`) sees and does everything.

Airflow is imported when somebody logs in, so that the app can be made, and looked at, without it.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request
from jwt import ExpiredSignatureError, InvalidTokenError
from sqlalchemy.exc import SQLAlchemyError

from include.api.origin import is_ours
from include.deadline import within
from include.documents.caller import Caller
from include.errors import RefusedError, RetryableError
from include.orchestration.row_owners import has_role_admin, owner_name
from include.settings import Settings

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.base_auth_manager import BaseAuthManager
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser

Login = Callable[[Request], Awaitable[Caller]]

# What a token says is believed for so long without asking again, so long does a logout take to count here: each look
# costs a signature and a query in Airflow, which is most of what a small request costs.
_BELIEVED_SECONDS = 5.0
_MOST_BELIEVED = 10_000
_SECONDS = 10.0
_AT_ONCE = 4
_LONGEST = 16_384
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class _AirflowSettings:
    cookie: str
    base_url: str
    all_admins: bool
    fetches_keys: bool

    @classmethod
    def read(cls) -> _AirflowSettings:
        from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
        from airflow.configuration import conf

        return cls(
            COOKIE_NAME_JWT_TOKEN,
            base_url=conf.get("api", "base_url", fallback=""),
            all_admins=conf.getboolean("core", "simple_auth_manager_all_admins", fallback=False),
            fetches_keys=bool(conf.get("api_auth", "trusted_jwks_url", fallback=None)),
        )


class AirflowLogin:
    """Knows callers by Airflow's tokens and cookies."""

    def __init__(self, settings: Settings) -> None:
        self._admins = frozenset(settings.admins)
        self._admin_kinds = frozenset(settings.admin_kinds)
        self._turns = CapacityLimiter(_AT_ONCE)
        self._believed: dict[bytes, tuple[float, Caller]] = {}
        self._asked: dict[bytes, asyncio.Task[Caller]] = {}

    @cached_property
    def _airflow(self) -> _AirflowSettings:
        return _AirflowSettings.read()

    async def __call__(self, request: Request) -> Caller:
        """The caller; `RefusedError` 401 without a login, 403 for one who may not even look, or from another site."""
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        bearer = credentials.strip() if scheme.lower() == "bearer" else ""
        token = bearer or request.cookies.get(self._airflow.cookie, "")
        if not token:
            raise RefusedError(401, "log in first: send a token of Airflow's (POST /auth/token) as bearer")
        if request.method not in _SAFE:
            self._check_origin(request, is_cookie=not bearer)
        digest = hashlib.sha256(token.encode()).digest()
        known = self._believed.get(digest)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        return await asyncio.shield(self._asked.get(digest) or self._ask(digest, token))

    def _check_origin(self, request: Request, *, is_cookie: bool) -> None:
        """A browser sends the cookie along with whatever any site makes it send: only our own pages may change things.

        Where everybody is an admin, Airflow itself adds a token to every request, which says as little; but programs,
        which say nothing of where they come from, may go on there.
        """
        ours = is_ours(request, self._airflow.base_url) if is_cookie or self._airflow.all_admins else True
        if ours is False or (ours is None and is_cookie):
            raise RefusedError(403, "this comes from another site; changes need a token, or a page of this one")

    def _ask(self, digest: bytes, token: str) -> asyncio.Task[Caller]:
        """Look a token up, once for all who send it at the same moment; only success is remembered."""
        until = time.monotonic() + _BELIEVED_SECONDS
        task = self._asked[digest] = asyncio.create_task(self._look_up(token))

        def answered(_: object) -> None:
            del self._asked[digest]
            if task.cancelled() or task.exception() is not None:
                return
            if len(self._believed) >= _MOST_BELIEVED:
                self._believed.clear()
            self._believed[digest] = (until, task.result())

        task.add_done_callback(answered)
        return task

    async def _look_up(self, token: str) -> Caller:
        """Ask Airflow, in a thread: its auth managers query the database without ever awaiting."""
        if len(token) > _LONGEST:
            raise RefusedError(401, "log in first: this is no token of Airflow's")
        manager = _manager()
        try:
            # Where the keys of tokens are fetched by HTTP, Airflow's client for that belongs to this loop.
            user = await within(_SECONDS, manager.get_user_from_token(token)) if self._airflow.fetches_keys else None
            return await within(_SECONDS, self._in_thread(lambda: self._caller(manager, user or _user(manager, token))))
        except ExpiredSignatureError:
            raise RefusedError(401, "log in again: the token has expired") from None
        except (InvalidTokenError, RecursionError):
            raise RefusedError(401, "log in first: the token is not, or no longer, valid") from None
        except (asyncio.TimeoutError, SQLAlchemyError) as error:
            raise RetryableError("Airflow cannot say at present who you are: send it again later") from error

    async def _in_thread(self, work: Callable[[], Caller]) -> Caller:
        return await to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._turns)

    def _caller(self, manager: BaseAuthManager[BaseUser], user: BaseUser) -> Caller:
        try:
            may_read = manager.is_authorized_dag(method="GET", user=user)
            may_write = manager.is_authorized_dag(method="PUT", user=user)
        except KeyError:  # the simple auth manager takes any word for a role, and fails when it is to mean something
            may_read = may_write = False
        if not may_read:
            raise RefusedError(403, "your role in Airflow does not let you look at DAGs; ask an admin for another one")
        name = owner_name(user)
        if name is None:
            raise RefusedError(
                403, "your name in Airflow cannot be that of an owner: 1 to 200 characters, no NUL, and not *"
            )
        is_admin = name in self._admins or has_role_admin(user)
        return Caller(name, is_admin or may_write, is_admin, self._admin_kinds)


def _manager() -> BaseAuthManager[BaseUser]:
    """Airflow's auth manager, as one of our own: FAB's remembers users in a cache that threads cannot share."""
    from airflow.api_fastapi.app import get_auth_manager

    manager: BaseAuthManager[BaseUser] = type(get_auth_manager())()
    manager.cache = {}
    return manager


def _user(manager: BaseAuthManager[BaseUser], token: str) -> BaseUser:
    """The user of a token. It is a coroutine that never waits, but blocks: it has a loop of its own, in a thread."""
    return asyncio.run(manager.get_user_from_token(token))


async def caller_of(request: Request) -> Caller:
    """Who sent the request, asked once; `RefusedError` as `Login` says."""
    known: Caller | None = getattr(request.state, "millrace_caller", None)
    if known is None:
        login: Login = request.app.state.login
        known = request.state.millrace_caller = await login(request)
    return known


CallerDep = Annotated[Caller, Depends(caller_of)]
