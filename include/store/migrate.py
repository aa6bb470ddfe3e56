"""Bring a database to this version: numbered files, forward only, each in a transaction of its own.

It is safe while the version before goes on. Whoever waits for a lock has everybody else wait behind him: so a migration
waits for a moment only, lets go of all that it has, leaves others their turn, and begins again. A new index of the
ledger is built a day at a time, after the migrations, while that day is written to.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path

from psycopg import errors, sql

from include.errors import ConfigError, RetryableError
from include.store.db import SCHEMA, DictConnection, connect

log = logging.getLogger(__name__)

_HERE = Path(__file__).parent
_LOCK = 7_240_611_300  # any number, the same in every process: migrations take turns
# Nobody is held up for longer while a migration waits for a lock; now and then for long enough (`deadlock_timeout`)
# that a vacuum, which goes on for as long as the table is large, gives way.
_LOCK_TIMEOUTS = ("500ms", "500ms", "500ms", "500ms", "1500ms")
_PAUSE_SECONDS = 1.0
_PATIENCE_SECONDS = 600.0  # a dump, or a person who has forgotten a transaction, may take longer than we wait
_TELL_SECONDS = 10.0
# The days of the ledger that lack one of its indexes: which, and what comes after the table's name in its definition.
_MISSING = """
    select i.indexrelid::regclass::text as index, day.relname as day,
           substring(pg_get_indexdef(i.indexrelid) from ' (USING .*)') as by
    from pg_index i
    join pg_inherits p on p.inhparent = i.indrelid
    join pg_class day on day.oid = p.inhrelid
    where i.indrelid = 'millrace.execution'::regclass
      and not exists (select from pg_inherits c join pg_index own on own.indexrelid = c.inhrelid
                      where c.inhparent = i.indexrelid and own.indrelid = day.oid)
    order by day.relname
"""


def migrate(database_url: str) -> list[str]:
    """Apply what is missing and return its names; doing it twice, or twice at once, is harmless.

    `RetryableError` if somebody keeps a lock that is needed for ten minutes; what was applied by then stays.
    """
    applied: list[str] = []
    with connect(database_url, via="migrate") as db:
        _take_lock(db)
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
            _in_turn(db, f"migration {file.stem}", partial(_apply, db, file.stem, text, digest))
            applied.append(file.stem)
        _index_days(db)
        _set_search_path(database_url)
    return applied


def _take_lock(db: DictConnection) -> None:
    """Be the only one who migrates. Whoever waited in a statement would be waited for by one that builds an index."""
    while db.execute("select pg_try_advisory_lock(%s) as mine", (_LOCK,)).fetchone() != {"mine": True}:
        time.sleep(_PAUSE_SECONDS)


def adopt_airflow(database_url: str) -> None:
    """Add our indexes and the pause triggers to Airflow's tables, which must be in schema public of this database."""
    with connect(database_url, via="migrate") as db:
        if db.execute("select to_regclass('public.dag_run') as found").fetchone() == {"found": None}:
            raise ConfigError(
                "Airflow's tables are not in schema public of this database; run `airflow db migrate` first"
            )
        text = (_HERE / "airflow_side.sql").read_bytes()
        _in_turn(db, "what is added to Airflow's tables", partial(db.execute, text))


def _apply(db: DictConnection, name: str, text: str, digest: str) -> None:
    db.execute(text.encode())
    db.execute("insert into migration (name, sha256) values (%s, %s)", (name, digest))


def _index_days(db: DictConnection) -> None:
    """Build the indexes that the ledger has and some of its days do not: `on only` in a migration has left them out."""
    # It waits for the transactions of others, but nobody waits for it.
    db.execute(f"set lock_timeout = '{_PATIENCE_SECONDS:.0f}s'")
    for row in db.execute(_MISSING).fetchall():
        ledgers, day, by = sql.Identifier(str(row["index"])), sql.Identifier(str(row["day"])), sql.SQL(str(row["by"]))
        name, what = sql.Identifier(f"{row['day']}_{row['index']}"), f"the index of {row['day']}"
        try:
            db.execute(sql.SQL("drop index concurrently if exists {}").format(name))  # of a broken-off attempt
            db.execute(sql.SQL("create index concurrently {} on {} {}").format(name, day, by))
        except errors.LockNotAvailable as error:
            raise _given_up(db, what) from error
        attach = sql.SQL("alter index {} attach partition {}").format(ledgers, name)
        _in_turn(db, what, partial(db.execute, attach))


def _in_turn(db: DictConnection, what: str, change: Callable[[], object]) -> None:
    """Make a change in one transaction, which gives way to whoever holds a lock that it needs."""
    began = told = time.monotonic()
    for timeout in cycle(_LOCK_TIMEOUTS):
        try:
            with db.transaction():
                db.execute(f"set local lock_timeout = '{timeout}'")
                change()
            return
        except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
            now = time.monotonic()
            if now - began > _PATIENCE_SECONDS:
                raise _given_up(db, what) from error
            if now - told > _TELL_SECONDS:
                log.warning("%s waits for a lock: %s", what, _oldest(db))
                told = now
        time.sleep(_PAUSE_SECONDS)


def _given_up(db: DictConnection, what: str) -> RetryableError:
    return RetryableError(f"{what} got no lock for {_PATIENCE_SECONDS:.0f} s: {_oldest(db)}")


def _oldest(db: DictConnection) -> str:
    """The oldest transaction of others, which most likely holds the lock; in words, with what ends it."""
    row = db.execute(
        "select pid, application_name, usename, state, to_char(xact_start, 'HH24:MI:SS') as since from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null"
        " order by xact_start limit 1"
    ).fetchone()
    if row is None:
        return "whoever held it has just let go"
    who = f"{row['application_name'] or 'a client'} of {row['usename']} ({row['state']}, since {row['since']} UTC)"
    return f"the oldest transaction is that of {who}; select pg_terminate_backend({row['pid']}) ends it"


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
