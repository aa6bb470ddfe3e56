"""The machine's Redis as Celery's broker: on loopback, with a password, what is queued in the home.

It is Debian's and not a wheel's: only who wants Celery needs it.
"""

from __future__ import annotations

import json
import secrets
import shutil
import socket
from contextlib import suppress
from typing import Any

from include.errors import ConfigError
from include.local.files import write_private
from include.local.home import Home
from include.local.ports import LOOPBACK, free_port

_PROGRAM = "redis-server"
_ANSWER_SECONDS = 2.0
# What is queued survives a restart: Airflow would miss it only after ten minutes. Nothing is ever evicted, for a task
# that is dropped is missed as late.
_SETTINGS = """\
bind {host}
port {port}
requirepass {password}
dir {directory}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
databases 1
daemonize no
"""


class Redis:
    """The server of one home. Password and, if it can be had, port stay the same over restarts."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._facts: dict[str, Any] = {}

    def prepare(self) -> list[str]:
        """Make its directory and settings; return the command that runs it, in which nobody can read the password.

        `ConfigError` if the machine has no Redis.
        """
        program = shutil.which(_PROGRAM)
        if program is None:
            raise ConfigError(
                f"Celery needs Redis, and there is no {_PROGRAM} here: `apt-get install {_PROGRAM}`, "
                "or set AIRFLOW__CELERY__BROKER_URL to a Redis that runs"
            )
        directory = self._home.path / "redis"
        directory.mkdir(mode=0o700, exist_ok=True)
        facts_file = directory / "facts.json"
        known = json.loads(facts_file.read_text()) if facts_file.exists() else {}
        self._facts = {
            "password": known.get("password") or secrets.token_urlsafe(32),
            "port": free_port(known.get("port")),
        }
        write_private(facts_file, json.dumps(self._facts))
        settings = directory / "redis.conf"
        quoted = json.dumps(str(directory), ensure_ascii=False)  # Redis knows the same escapes, but for those
        write_private(settings, _SETTINGS.format(host=LOOPBACK, directory=quoted, **self._facts))
        return [program, str(settings)]

    @property
    def url(self) -> str:
        """Its address, password included, once it has been prepared."""
        return f"redis://:{self._facts['password']}@{LOOPBACK}:{self._facts['port']}/0"

    def answers(self) -> bool:
        """Whether it is up, knows the password and has loaded what was queued. It blocks for a moment."""
        orders = f"AUTH {self._facts['password']}\r\nPING\r\nQUIT\r\n"
        with suppress(OSError), socket.create_connection((LOOPBACK, self._facts["port"]), _ANSWER_SECONDS) as peer:
            peer.sendall(orders.encode())
            with peer.makefile("rb") as answers:
                return answers.read().split() == [b"+OK", b"+PONG", b"+OK"]
        return False
