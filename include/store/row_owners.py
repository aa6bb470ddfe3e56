"""Whose the rows are, by the ids of their DAGs: for who knows DAGs only, and may ask from any thread."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Collection, Iterable

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from include.store.db import DictConnection, conninfo, queries
from include.store.edits import LARGEST_ID
from include.store.shards import TABLES

log = logging.getLogger(__name__)

# As `model.py` spells it; a DAG of somebody's own may be called job_007.
_ROW = re.compile(rf"({'|'.join(TABLES)})_(0|-?[1-9][0-9]{{0,18}})")
_CONNECTIONS = 2
_SECONDS = 3
_PAUSE_SECONDS = 5.0
_OWNED = queries("row_owners")["owned"].encode()


def row_dag_ids(dag_ids: Iterable[str]) -> set[str]:
    """Those that are the ids of rows' DAGs, whether the row is there or not."""
    return set(filter(_ROW.fullmatch, dag_ids))


class RowOwners:
    """Knows whose the rows are as of now; what the database does not say within seconds is nobody's.

    Then nobody else waits for it either, for a while: who asks may hold up a server.
    """

    def __init__(self, database_url: str) -> None:
        self._silent_until = 0.0
        self._pool: ConnectionPool[DictConnection] = ConnectionPool(
            conninfo(database_url, via="api"),
            # A server that is cut off does not say so; libpq would wait for a quarter of an hour.
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "prepare_threshold": None,  # one id or ten thousand: not the same plan
                "connect_timeout": _SECONDS,
                "tcp_user_timeout": _SECONDS * 1000,
                "keepalives_idle": _SECONDS,
                "keepalives_interval": 1,
                "keepalives_count": 2,
            },
            configure=_configure,
            check=ConnectionPool.check_connection,
            min_size=0,
            max_size=_CONNECTIONS,
            num_workers=1,
            timeout=_SECONDS,
            open=True,
        )

    def owned(self, owner: str, dag_ids: Collection[str]) -> set[str]:
        """Those of these DAGs whose row is the owner's."""
        ids = _by_table(dag_ids)
        if not any(ids.values()) or time.monotonic() < self._silent_until:
            return set()
        try:
            with self._pool.connection() as db:
                return {str(row["dag_id"]) for row in db.execute(_OWNED, {"owner": owner, **ids})}
        except psycopg.Error as error:
            self._silent_until = time.monotonic() + _PAUSE_SECONDS
            log.warning("rows are taken for nobody's: the database does not say whose they are: %s", error)
            return set()

    def close(self) -> None:
        """Disconnect."""
        self._pool.close()


def _configure(db: DictConnection) -> None:
    db.execute(f"set statement_timeout = '{_SECONDS}s'".encode())


def _by_table(dag_ids: Iterable[str]) -> dict[str, list[int]]:
    ids: dict[str, list[int]] = {table: [] for table in TABLES}
    for found in filter(None, map(_ROW.fullmatch, dag_ids)):
        if -LARGEST_ID <= (row_id := int(found[2])) <= LARGEST_ID:
            ids[found[1]].append(row_id)
    return ids
