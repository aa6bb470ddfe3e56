"""The DAG bundle: a folder of tiny files, one per shard of rows, of which only those are touched whose rows changed.

Airflow asks every second (`bundle_refresh_check_interval`) whether the bundle wants to be refreshed, by reading
`refresh_interval`, and reparses the files whose modification time is newer than their last parse. A refresh makes it
list all files and load all its DAGs, 0.2 s for 10,000; so files that it knows are touched while it asks, and
`refresh_interval` is 0 only for one that is new. Parse cost follows edits, not rows.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg
from airflow.dag_processing.bundles.base import BaseDagBundle

from include import registry
from include.errors import MillraceError

# Imported at the top also so that the processes which Airflow forks to parse our files find it loaded.
from include.orchestration.factory import explain
from include.settings import settings
from include.store import shards
from include.store.db import DictConnection, connect

log = logging.getLogger(__name__)

_IDLE_REFRESH_SECONDS = 300
_STUB = '''"""An airflow dag file that Millrace writes: {table} rows {first} to {last}. Edit the rows, not this."""

from include.orchestration.factory import row_dags

globals().update(row_dags("{table}", {number}))
'''


class RowBundle(BaseDagBundle):
    """Rows of the config tables as DAG files."""

    supports_versioning = False

    def __init__(self, **kwargs: Any) -> None:
        # By table: the shards to build, with the transactions that changed them.
        self._unbuilt: dict[str, set[tuple[int, str]]] = {table: set() for table in shards.TABLES}
        self._seen: str | None = None
        self._vetted = False
        self._listed: frozenset[Path] = frozenset()  # the files that Airflow knows
        self._db: DictConnection | None = None
        super().__init__(**kwargs)

    @property
    def path(self) -> Path:
        return Path(self.base_dir) / "rows"

    @property
    def refresh_interval(self) -> int:
        """Seconds until the next refresh: 0 if there is a new file to parse. Airflow reads this once a second.

        Files that it knows are touched by this very question.
        """
        try:
            self._look()
            return 0 if self._touch() else _IDLE_REFRESH_SECONDS
        except (psycopg.Error, MillraceError, OSError) as error:
            log.warning("cannot tell Airflow which rows changed, trying again: %s", error)
            self._disconnect()
            return _IDLE_REFRESH_SECONDS

    @refresh_interval.setter
    def refresh_interval(self, value: int) -> None:
        """Set by Airflow from its settings, which are for bundles that cannot tell when they changed."""

    def initialize(self) -> None:
        """Write the file of every shard that has rows. Workers do so for each task: what is there stays untouched."""
        self.path.mkdir(parents=True, exist_ok=True)
        with connect(settings().database_url, via="bundle") as db:
            self._seen = shards.snapshot(db)
            for table in shards.TABLES:
                for number in shards.shards_of(db, table):
                    if not self._file(table, number).exists():
                        self._write(table, number)
        super().initialize()

    def refresh(self) -> None:
        """Write the files that are missing; Airflow lists all of them afterwards."""
        for table, changed in self._unbuilt.items():
            for number in {number for number, _ in changed}:
                self._write(table, number)
        self._listed = frozenset(self.path.glob("*.py"))

    def get_current_version(self) -> None:
        return None

    def _touch(self) -> bool:
        """Touch the files of shards whose last build has not seen a change; True if Airflow does not know one of them.

        Again and again until one has: a parse that began before the change and ended after the touch passes for newer.
        """
        if not self.is_initialized or self._seen is None:
            return True
        files = {self._file(table, number) for table, changed in self._unbuilt.items() for number, _ in changed}
        for file in files & self._listed:
            try:
                os.utime(file)
            except FileNotFoundError:  # somebody has tidied up: it is written anew
                self._listed -= {file}
        return not files <= self._listed

    def _look(self) -> None:
        """Learn what changed since the last look, and which shards are not built yet."""
        if not self.is_initialized or self._seen is None:
            return
        db = self._connection()
        if not self._vetted:  # this release may know kinds that the one before did not, or know them differently
            for table in shards.TABLES:
                self._vet(db, table, shards.all_rows(db, table))
            self._vetted = True
        seen, changes = shards.changed_since(db, self._seen)
        for table, unbuilt in self._unbuilt.items():
            changed = [change for change in changes if change.table_name == table]
            ids = [change.row_id for change in changed]
            mended = self._vet(db, table, shards.rows_by_id(db, table, ids)) if ids else set()
            unbuilt.update(
                (change.row_id // shards.SHARD_SIZE, change.transaction)
                for change in changed
                if change.changes_dag or change.row_id in mended
            )
        self._seen = seen  # not before: if the connection is lost on the way here, these changes are looked at again
        self._unbuilt = {table: shards.unbuilt(db, table, unbuilt) for table, unbuilt in self._unbuilt.items()}

    def _vet(self, db: DictConnection, table: str, rows: Iterable[shards.Row]) -> set[int]:
        """Write on each row what is wrong with it; return the rows of which that was news."""
        news: set[int] = set()
        for row in rows:
            try:
                registry.vet(row)
                error = None
            except Exception as wrong:  # a kind that cannot be imported, say: its rows' error, not the processor's end
                error = explain(wrong)
            if error != row.error:
                shards.set_error(db, table, row.id, error)
                news.add(row.id)
        return news

    def _write(self, table: str, number: int) -> None:
        file = self._file(table, number)
        if file.exists():
            os.utime(file)
            return
        first = number * shards.SHARD_SIZE
        text = _STUB.format(table=table, first=first, last=first + shards.SHARD_SIZE - 1, number=number)
        partial = file.with_suffix(".partial")
        partial.write_text(text, "utf-8")
        partial.rename(file)

    def _file(self, table: str, number: int) -> Path:
        return self.path / f"{table}_{number:05d}.py"

    def _connection(self) -> DictConnection:
        if self._db is None or self._db.closed:
            self._db = connect(settings().database_url, via="bundle")
        return self._db

    def _disconnect(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()
