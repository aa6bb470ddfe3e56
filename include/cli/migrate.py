"""`./millrace migrate`: for systems that something else runs, such as containers; `up` does it by itself."""

from __future__ import annotations


def migrate() -> None:
    """Bring the tables in MILLRACE_DATABASE_URL to this version, Airflow's and ours; with FAB, make its admin.

    The admin's password is MILLRACE_PASSWORD. A second time does nothing.
    """
    from include.local.migration import make_ready

    make_ready(lambda line: print(line, flush=True))
