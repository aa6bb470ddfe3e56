"""A plugin of pytest for the release before: its tests find the tables that the checkout in `NEWER_CHECKOUT` makes."""

from __future__ import annotations

import os
import subprocess
import sys

from include.store import migrate as migrations

_MIGRATE = "import sys; from include.store.migrate import migrate; migrate(sys.argv[1])"


def migrate_with(checkout: str, database_url: str) -> None:
    """Migrate with the code of a checkout."""
    environment = {**os.environ, "PYTHONPATH": checkout}
    subprocess.run([sys.executable, "-c", _MIGRATE, database_url], cwd=checkout, env=environment, check=True)


def _migrate(database_url: str) -> list[str]:
    migrate_with(os.environ["NEWER_CHECKOUT"], database_url)
    return []


if "NEWER_CHECKOUT" in os.environ:
    migrations.migrate = _migrate
