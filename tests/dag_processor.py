"""Airflow's DAG processor, as the bundle of rows sees it."""

from __future__ import annotations

import os

from include.orchestration.bundle import RowBundle
from include.orchestration.factory import row_dags


class Processor:
    """The DAG processor as a bundle sees it: asks for the interval every second, refreshes when that has passed."""

    def __init__(self) -> None:
        self.bundle = RowBundle(name="millrace")

    def start(self) -> None:
        self.bundle.initialize()
        self.bundle.refresh()
        self.touched()
        assert self.look() == []

    def touched(self) -> list[int]:
        """The shards whose files moved since the last call."""
        files = sorted(file for file in self.bundle.path.glob("job_*.py") if file.stat().st_mtime > 0)
        for file in files:
            os.utime(file, (0, 0))
        return [int(file.stem.removeprefix("job_")) for file in files]

    def look(self) -> list[int]:
        """A second passes; return the shards that are to be parsed."""
        if self.bundle.refresh_interval == 0:
            self.bundle.refresh()
        return self.touched()

    def look_and_build(self) -> list[int]:
        """A second passes, and what is to be parsed is parsed."""
        touched = self.look()
        for number in touched:
            row_dags("job", number)
        return touched
