"""Whether a component of this machine is alive, by its signs of life in the database: a health check of containers.

`python -m include.local.alive scheduler`. Airflow's own `jobs check` imports all of Airflow for that, every time.
"""

from __future__ import annotations

import os
import socket
import sys

from include.errors import MillraceError
from include.store.db import connect
from include.store.health import QUIET_SECONDS

_JOBS = {"scheduler": "SchedulerJob", "dag-processor": "DagProcessorJob", "triggerer": "TriggererJob"}
_LAST_SIGN = """
    select extract(epoch from now() - latest_heartbeat) as seconds from public.job
    where job_type = %s and hostname = %s and state = 'running' order by latest_heartbeat desc limit 1
"""


def what_is_wrong(component: str, database_url: str, hostname: str) -> str | None:
    """None if the component gave a sign of life lately on this machine; otherwise, in words, what is the matter."""
    try:
        with connect(database_url, via="alive") as db:
            sign = db.execute(_LAST_SIGN, (_JOBS[component], hostname)).fetchone()
    except MillraceError as error:
        return str(error)
    if sign is None:
        return f"no {component} runs on {hostname}"
    seconds = float(str(sign["seconds"]))
    return None if seconds <= QUIET_SECONDS else f"{component} has been silent for {seconds:.0f} s"


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1] not in _JOBS:
        print(f"usage: python -m include.local.alive {'|'.join(_JOBS)}", file=sys.stderr)
        return 2
    # As Airflow names the machine: see HOSTNAME_CALLABLE in config/airflow.env.
    wrong = what_is_wrong(sys.argv[1], os.environ["MILLRACE_DATABASE_URL"], socket.gethostname())
    print(wrong or "alive")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
