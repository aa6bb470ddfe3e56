"""`./millrace migrate`: for systems that something else runs, such as containers; `up` does it by itself."""

from __future__ import annotations

import os


def migrate() -> None:
    """Bring the tables in MILLRACE_DATABASE_URL to this version, Airflow's and ours; with FAB, make its admin.

    The admin's password is MILLRACE_PASSWORD. A second time does nothing.
    """
    from include.errors import ConfigError
    from include.local.database import Database
    from include.local.migration import make_ready

    if url := os.environ.get("MILLRACE_DATABASE_URL"):
        try:
            Database.parse(url)
        except ConfigError as error:  # which speaks of DATABASE_URL: `up` reads that one
            raise ConfigError(
                "MILLRACE_DATABASE_URL must be like postgresql://user:password@host:5432/database"
            ) from error
    make_ready(lambda line: print(line, flush=True))
