"""Back on duty at once: a row whose shift was ended in Airflow, and whose next run is hours away.

Marking a run there, as failed or as a success, is no pause: of a plain DAG the next run would follow on time.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from include.store.batch import Batch, Connection
from include.store.db import DictConnection, conninfo, queries

_SQL = {name: text.encode() for name, text in queries("recall").items()}

_GATHER_SECONDS = 0.05


def recalls(database_url: str) -> Batch[str, bool]:
    """Whom to ask for the next run of a DAG now; whether there will be one. As many may ask as like, over one
    connection."""
    return Batch(conninfo(database_url, via="shift"), _recall, gather_seconds=_GATHER_SECONDS)


def recall(db: DictConnection, dag_ids: Sequence[str]) -> list[str]:
    """Have the next run of these DAGs made now, where none is on duty; of which there will be one."""
    try:
        return [str(row["dag_id"]) for row in db.execute(_SQL["recall"], {"dag_ids": list(dag_ids)})]
    except psycopg.errors.UndefinedTable:
        return []  # no Airflow is in this database


async def _recall(db: Connection, dag_ids: Sequence[str]) -> list[bool]:
    cursor = await db.execute(_SQL["recall"], {"dag_ids": list(dag_ids)})
    recalled = {row["dag_id"] for row in await cursor.fetchall()}
    return [dag_id in recalled for dag_id in dag_ids]
