"""Airflow's connections, where the secrets are; rows only name them.

`python -m include.orchestration.connections NAME` prints one as JSON, for a process that must not import Airflow.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import asdict
from typing import Any

from include.deadline import within
from include.errors import ConfigError, RetryableError
from include.model import Connection

# Each look-up passes through the one thread that also stores what triggers did; a secret that was changed counts after
# this long.
_KEPT_SECONDS = 30.0
_LOOK_UP_SECONDS = 30.0

_known: dict[str, tuple[float, Connection]] = {}
_asking: dict[str, asyncio.Task[Connection]] = {}


async def find(conn_id: str) -> Connection:
    """The connection of that name; `ConfigError` if Airflow has none. Asked for many times at once, it is read once."""
    known = _known.get(conn_id)
    if known is not None and time.monotonic() - known[0] < _KEPT_SECONDS:
        return known[1]
    task = _asking.get(conn_id)
    if task is None or task.get_loop() is not asyncio.get_running_loop():
        task = _asking[conn_id] = asyncio.create_task(_read(conn_id))
        task.add_done_callback(lambda _: _asking.pop(conn_id, None))
    return await asyncio.shield(task)


async def _read(conn_id: str) -> Connection:
    from airflow.exceptions import AirflowNotFoundException
    from airflow.sdk import BaseHook

    try:
        found: Any = await within(_LOOK_UP_SECONDS, BaseHook.aget_connection(conn_id))
    except AirflowNotFoundException:
        raise ConfigError(
            f"Airflow has no connection {conn_id!r}; add it under Admin, Connections, or by `airflow connections add`"
        ) from None
    except asyncio.TimeoutError:
        raise RetryableError(f"Airflow did not answer when asked for connection {conn_id!r}") from None
    made = Connection(
        id=conn_id,
        type=found.conn_type,
        host=found.host,
        port=found.port,
        schema=found.schema,
        login=found.login,
        password=found.password,
        extra=found.extra_dejson,
    )
    _known[conn_id] = (time.monotonic(), made)
    return made


def main() -> int:
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"  # or Airflow would not look into its own tables
    try:
        found = asyncio.run(find(sys.argv[1]))
    except (ConfigError, RetryableError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(asdict(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
