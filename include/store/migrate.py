"""Bring a database to this version: numbered files, forward only, each in a transaction of its own."""

from __future__ import annotations

import hashlib
from pathlib import Path

from psycopg import sql

from include.errors import ConfigError
from include.store.db import SCHEMA, connect

_HERE = Path(__file__).parent
_LOCK = 7_240_611_300  # any number, the same in every process: migrations take turns


def migrate(database_url: str) -> list[str]:
    """Apply what is missing and return its names; doing it twice, or twice at once, is harmless."""
    applied: list[str] = []
    with connect(database_url, via="migrate") as db:
        db.execute("select pg_advisory_lock(%s)", (_LOCK,))
        db.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(SCHEMA)))
        db.execute(
            "create table if not exists millrace.migration"
            " (name text primary key, sha256 text not null, applied_at timestamptz not null default now())"
        )
        done = {str(row["name"]): row["sha256"] for row in db.execute("select name, sha256 from migration")}
        for file in sorted((_HERE / "migrations").glob("*.sql")):
            text = file.read_text("utf-8")
            digest = hashlib.sha256(text.encode()).hexdigest()
            if file.stem in done:
                if done[file.stem] != digest:
                    raise ConfigError(f"migration {file.name} was edited after it was applied; add a new one instead")
                continue
            with db.transaction():
                db.execute(text.encode())
                db.execute("insert into migration (name, sha256) values (%s, %s)", (file.stem, digest))
            applied.append(file.stem)
        _set_search_path(database_url)
    return applied


def adopt_airflow(database_url: str) -> None:
    """Add our indexes and the pause triggers to Airflow's tables, which must be in schema public of this database."""
    with connect(database_url, via="migrate") as db:
        if db.execute("select to_regclass('public.dag_run') as found").fetchone() == {"found": None}:
            raise ConfigError(
                "Airflow's tables are not in schema public of this database; run `airflow db migrate` first"
            )
        with db.transaction():
            db.execute((_HERE / "airflow_side.sql").read_bytes())


def _set_search_path(database_url: str) -> None:
    """Let people write `job` for `millrace.job` in psql. A role that does not own the database may not; no harm."""
    with connect(database_url, via="migrate") as db:
        row = db.execute(
            "select current_database() as name, pg_has_role(datdba, 'member') as owned"
            " from pg_database where datname = current_database()"
        ).fetchone()
        if row and row["owned"]:
            db.execute(
                sql.SQL("alter database {} set search_path = {}, public").format(
                    sql.Identifier(str(row["name"])), sql.Identifier(SCHEMA)
                )
            )
