"""What `export` and `apply` work on: the database, or, with a URL, the API of a system elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Protocol

import typer

from include.errors import ConfigError

_API = "/millrace/api/v1/config"
_PANEL = "Where"
_DEFAULT_OWNER = "admin"

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="Over the API of the Airflow at this address; by itself MILLRACE_URL, if no MILLRACE_DATABASE_URL is set.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        help="Airflow's, for the API; by itself MILLRACE_TOKEN, or a login by MILLRACE_USER and MILLRACE_PASSWORD.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
Me = Annotated[
    str | None,
    typer.Option(
        "--owner",
        metavar="OWNER",
        help="Whose a document without `owner` is; by itself admin, or with --url whoever logs in.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]


class Target(Protocol):
    """Where a configuration is; `owner` is whose documents without one are."""

    owner: str

    def export(self, only: Sequence[str]) -> list[dict[str, Any]]: ...

    def plan(self, documents: list[dict[str, Any]], *, prune: bool) -> dict[str, Any]: ...

    def apply(
        self, documents: list[dict[str, Any]], *, prune: bool, replace: bool, fingerprint: str
    ) -> dict[str, Any]: ...


@contextmanager
def open_target(url: str | None, token: str | None, owner: str | None) -> Iterator[Target]:
    """The API, if there is a URL; else the database."""
    if url is None and not os.environ.get("MILLRACE_DATABASE_URL"):
        url = os.environ.get("MILLRACE_URL")
    if url is None:
        if token is not None:
            raise ConfigError("--token is for --url; the database asks for none")
        from include.cli.configuration_database import DatabaseTarget
        from include.cli.database import open_database

        with open_database() as db:
            yield DatabaseTarget(db, owner or _DEFAULT_OWNER)
        return
    from include.cli.configuration_api import open_api

    with open_api(url.rstrip("/") + _API, url.rstrip("/"), token or os.environ.get("MILLRACE_TOKEN")) as api:
        if owner is not None:
            api.owner = owner
        yield api
