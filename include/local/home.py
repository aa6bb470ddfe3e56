"""Where things are: the project, and the directory that holds the state of one running system."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from include.errors import MillraceError

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Home:
    """The state of one system: `.millrace/` in the project, or `MILLRACE_HOME`, where a second one lives beside it."""

    path: Path

    @classmethod
    def from_environment(cls) -> Home:
        return cls(Path(os.environ.get("MILLRACE_HOME") or PROJECT / ".millrace").absolute())

    def make(self) -> None:
        """Make sure that it is there. Others may pass through it, since the database may run as another user."""
        try:
            self.path.mkdir(mode=0o755, parents=True, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise MillraceError(f"{self.path} cannot be written: {error.strerror}") from error

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def airflow(self) -> Path:
        return self.path / "airflow"

    @property
    def lock_file(self) -> Path:
        return self.path / "lock"

    @property
    def run_file(self) -> Path:
        return self.path / "run.json"

    @property
    def keys_file(self) -> Path:
        return self.path / "secrets.json"

    @property
    def passwords_file(self) -> Path:
        return self.path / "passwords.json"

    @property
    def remembered_file(self) -> Path:
        return self.path / "remembered.json"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"
